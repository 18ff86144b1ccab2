"""Results shared through a DVC remote (a folder here): fetched instead of run, sent when made, or refused."""

from __future__ import annotations

import shutil
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from conftest import Workspace
from flow_tools import free_port, with_flows

from flows.remote import check_remote, how_to_test
from srledger.errors import SrledgerError

TARGET = "download@faces"


def sharing(folder: Path, remote: Path | str) -> Workspace:
    """A clone with a cache of its own that shares results through ``remote``."""
    workspace = with_flows(Workspace.new(folder))
    workspace.run("dvc", "remote", "add", "--quiet", "--default", "shared", str(remote))
    workspace.edit("params.yaml", "remote: null", "remote: shared")
    return workspace


def ran(said: str) -> set[str]:
    return {line.split("'")[1] for line in said.splitlines() if ": Running stage '" in line}


@pytest.mark.slow  # make test-machines
def test_what_one_machine_made_another_fetches(tmp_path: Path) -> None:
    first, second = (sharing(tmp_path / name, tmp_path / "remote") for name in ("first", "second"))

    def run_afresh(*lost: str) -> str:
        for name in lost:
            path = second.folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        said = second.run("srledger", "pipeline", TARGET).stdout
        assert second.files("data") == first.files("data")
        assert (second.folder / "dvc.lock").read_bytes() == (first.folder / "dvc.lock").read_bytes()
        return said

    assert ran(first.run("srledger", "pipeline", TARGET).stdout) == {TARGET}
    said = run_afresh()
    assert ran(said) == set() and said.splitlines()[-1] == "1 restored from the cache"
    said = run_afresh("data", ".dvc/cache")  # the lock file's hashes lead to the outputs, too
    assert ran(said) == set() and said.splitlines()[-1] == "1 restored from the cache"

    # A remote that lacks what the lock file names: it is made. And one that gets what was up to date before it was.
    second.run("dvc", "remote", "modify", "shared", "url", str(tmp_path / "empty"))
    assert ran(run_afresh("data", ".dvc/cache")) == {TARGET}
    for workspace in (first, second):
        workspace.run("dvc", "remote", "modify", "shared", "url", str(tmp_path / "late"))
    assert first.run("srledger", "pipeline", TARGET).stdout.splitlines()[-1] == "1 up to date"
    assert ran(run_afresh("data", ".dvc/cache", "dvc.lock")) == set()


def test_a_stage_whose_outputs_cannot_be_sent_has_failed(tmp_path: Path) -> None:
    from flows.process import StagePool

    workspace = with_flows(Workspace.new(tmp_path / "project"))
    workspace.run("dvc", "remote", "add", "--quiet", "--default", "shared", str(tmp_path / "remote"))
    dvc = tmp_path / "dvc"
    pool = StagePool(workspace.folder, remote="gone", dvc=str(dvc))
    dvc.write_text("#!/bin/sh\necho \"Running stage 'x':\"\n", encoding="utf-8")
    dvc.chmod(0o755)
    said: list[str] = []
    result = pool.run("download@faces", keep=[], env=workspace.env, say=said.append)
    assert result.outcome == "failed" and result.again
    assert result.why.startswith("made, but not sent to the remote gone: ")


def test_remotes_that_cannot_be_used_are_refused_with_what_mends_it(tmp_path: Path) -> None:
    workspace = with_flows(Workspace.new(tmp_path / "project"))
    port = free_port()
    address = f"ssh://someone@127.0.0.1:{port}/srv/dvc"
    workspace.run("dvc", "remote", "add", "--quiet", "shared", address)

    def refusal(name: str) -> SrledgerError:
        with pytest.raises(SrledgerError) as raised:
            check_remote(workspace.folder, name)
        return raised.value

    assert refusal("sharde").facts["nearest"] == "shared"
    assert refusal("shared").facts["mend"] == "dvc remote default shared"
    workspace.run("dvc", "remote", "default", "--quiet", "shared")
    silent = refusal("shared")
    assert silent.problem == "the DVC remote can't be reached" and silent.facts["where"] == f"shared at {address}"
    assert f"ssh -p {port} someone@127.0.0.1 ls /srv/dvc" in silent.facts["mend"]
    workspace.edit("params.yaml", "remote: null", "remote: shared")
    done = workspace.run("srledger", "pipeline", TARGET, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr and ran(done.stdout) == set()
    assert done.stderr.startswith("srledger: the DVC remote can't be reached")


def test_a_bucket_that_does_not_exist_is_named_before_anything_starts(tmp_path: Path) -> None:
    class NoBucket(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message></Error>"
            self.send_response(404)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    workspace = with_flows(Workspace.new(tmp_path / "project"))
    with HTTPServer(("127.0.0.1", 0), NoBucket) as store:
        threading.Thread(target=store.serve_forever, daemon=True).start()
        workspace.run("dvc", "remote", "add", "--quiet", "--default", "shared", "s3://lab/srledger")
        for setting in (("endpointurl", f"http://127.0.0.1:{store.server_port}"), ("access_key_id", "a")):
            workspace.run("dvc", "remote", "modify", "--local", "shared", *setting)
        workspace.run("dvc", "remote", "modify", "--local", "shared", "secret_access_key", "b")
        with pytest.raises(SrledgerError) as refused:
            check_remote(workspace.folder, "shared")
        store.shutdown()
    assert refused.value.facts["found"] == "The specified bucket does not exist"


@pytest.mark.parametrize(
    ("address", "command"),
    [
        ("ssh://hub/srv/dvc", "ssh hub ls /srv/dvc"),
        ("ssh://me@hub:2222/srv/my dvc", "ssh -p 2222 me@hub ls '/srv/my dvc'"),
        ("s3://bucket/dvc", "aws s3 ls s3://bucket/dvc/"),
        ("/mnt/dvc", "ls /mnt/dvc"),
    ],
)
def test_a_remote_is_tested_without_dvc(address: str, command: str) -> None:
    assert how_to_test(address) == command
