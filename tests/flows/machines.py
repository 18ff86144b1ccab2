"""Machines on one machine: sshd and PostgreSQL of the distribution, and a shell for each that types what docs say."""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from conftest import ROOT
from flow_tools import free_port, wait_for

from srledger.services import members, signal_sessions

HUB = "hub.example.org"
SHARE = "/srv/srledger"
TYPED = "--- typed, status"
BLOCK = re.compile(r"(?ms)^```sh (\w+)\n(.*?)^```$")


def blocks(page: Path, machine: str) -> list[str]:
    """What a page says to type on a machine, block by block."""
    return [text for name, text in BLOCK.findall(page.read_text(encoding="utf-8")) if name == machine]


class Machine:
    """A home folder with a way to the hub, and a shell in it that keeps its place and its variables."""

    def __init__(self, home: Path, bin_folder: Path, ssh_port: int, key: Path, env: Mapping[str, str]) -> None:
        self.home = home
        (home / ".ssh").mkdir(parents=True, mode=0o700)
        config = home / ".ssh" / "config"
        config.write_text(
            f"Host {HUB}\n  HostName 127.0.0.1\n  Port {ssh_port}\n  User {getpass.getuser()}\n  IdentityFile {key}\n"
            f"  StrictHostKeyChecking no\n  UserKnownHostsFile {home}/.ssh/known_hosts\n  LogLevel ERROR\n",
            encoding="utf-8",
        )
        config.chmod(0o600)
        (home / ".gitconfig").write_text("[user]\n\tname = tests\n\temail = tests@example.org\n", encoding="utf-8")
        outside = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "SRLEDGER_"))}
        self.env = {
            **outside,
            "PATH": f"{bin_folder}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "USER": getpass.getuser(),
            "PYTHONPATH": str(home / "srledger" / "src"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "DVC_SITE_CACHE_DIR": str(home / "dvc-site"),
            **env,
        }
        self.env.pop("MLFLOW_TRACKING_URI", None)
        self.clone = home / "srledger"
        self.shell = subprocess.Popen(
            ["bash", "-e"], cwd=home, env=self.env, text=True, errors="replace", start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def type(self, text: str, *, check: bool = True) -> str:
        """Type lines; returns what they print. ``check``: an error of one of them ends the test."""
        assert self.shell.stdin is not None and self.shell.stdout is not None
        text = text if check else f"( {text} ) || true"
        self.shell.stdin.write(f"{{\n{text}\n}} < /dev/null\necho; echo '{TYPED}' $?\n")
        self.shell.stdin.flush()
        said = []
        for line in self.shell.stdout:
            if line.startswith(TYPED):
                return "".join(said)
            said.append(line)
        raise AssertionError(f"in {self.home.name}:\n{text}\n{''.join(said)}")

    def end(self) -> None:
        """End the shell and all that it left running."""
        signal_sessions([self.shell.pid], signal.SIGTERM)
        with contextlib.suppress(AssertionError):
            wait_for(lambda: not members([self.shell.pid]), 25.0, "an end of what was typed")
        signal_sessions([self.shell.pid], signal.SIGKILL)
        self.shell.wait()


@contextlib.contextmanager
def ssh_server(folder: Path) -> Iterator[tuple[int, Path]]:
    """A real sshd on loopback that lets this user in; gives its port and the user's key."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("needs sshd: make machines-deps")
    folder.mkdir()
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    shutil.copyfile(folder / "user.pub", folder / "authorized_keys")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd wants it; a machine without an init lacks it
    port = free_port()
    settings = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "authorized_keys",
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
        "PidFile": "none",
        "MaxStartups": "100",
        "Subsystem": "sftp internal-sftp",
    }
    (folder / "config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()), encoding="utf-8")
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([program, "-D", "-e", "-f", str(folder / "config")], stdout=log, stderr=log)
    try:
        wait_for(lambda: b"listening" in (folder / "log").read_bytes(), 10.0, "an sshd that listens")
        yield port, folder / "user"
    finally:
        server.terminate()
        server.wait()


@contextlib.contextmanager
def postgresql() -> Iterator[dict[str, str]]:
    """A real PostgreSQL of the distribution behind a socket; gives the variables that lead to it."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("needs PostgreSQL: make machines-deps")
    programs = found[-1].parent
    owner = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
    with tempfile.TemporaryDirectory(prefix="srledger-pg-") as name:  # short, for the socket; open to its owner
        folder = Path(name)
        if owner:
            shutil.chown(folder, owner, owner)

        def run(program: str, *arguments: str) -> None:
            log = folder / "log"
            command = [str(programs / program), "-D", str(folder / "data"), *arguments]
            done = subprocess.run(
                command, cwd=folder, user=owner, group=owner, extra_groups=[] if owner else None,
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr + (log.read_text() if log.exists() else "")

        run("initdb", "--username", "postgres", "--auth", "trust", "--no-sync")
        port = str(free_port())
        options = f"-k {folder} -p {port} -c listen_addresses='' -c fsync=off"
        run("pg_ctl", "--wait", "--log", str(folder / "log"), "--options", options, "start")
        try:
            yield {"PGHOST": str(folder), "PGPORT": port, "PGPROGRAMS": str(programs)}
        finally:
            run("pg_ctl", "--wait", "--mode", "fast", "stop")


def stand_ins(folder: Path) -> Path:
    """What differs from real machines: `ssh` reads this home's settings, `sudo -u postgres` is the database's owner."""
    folder.mkdir()
    ssh = shutil.which("ssh")
    assert ssh is not None
    scripts = {
        "ssh": f'exec {shlex.quote(ssh)} -F "$HOME/.ssh/config" "$@"',
        "sudo": 'test "$1 $2" = "-u postgres" && shift 2 && PATH="$PGPROGRAMS:$PATH" PGUSER=postgres exec "$@"',
    }
    for name, line in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    return folder


def page() -> Path:
    """The walk-through."""
    return ROOT / "docs" / "several-machines.md"
