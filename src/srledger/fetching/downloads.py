"""Downloads that can be trusted: resumed after any interruption, checked before they get their name.

While ``target`` is on its way ``<target>.part`` and ``<target>.part.json`` stand beside it (see ``partial``), and
``<target>.lock`` (one process at a time). Whatever happens, ``target`` is absent or has the sha256 asked for.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING

from srledger.errors import SrledgerError
from srledger.fetching.addresses import check_address, redirected, shown
from srledger.fetching.partial import Partial
from srledger.fetching.sessions import plain_session
from srledger.io import sha256_file
from srledger.progress import Progress

if TYPE_CHECKING:
    import requests

MIB = 1 << 20
READ_BYTES = 1 << 16  # small, so that a slow line loses little when the process is killed
SPARE_BYTES = 64 * MIB  # what a download leaves free on the disk
MAX_REDIRECTS = 5
MAX_WAIT_S = 60.0
RETRIED_STATUS = {408, 429, 500, 502, 503, 504}


class Unreachable(SrledgerError):
    """A file could not be had: no connection, a refusal, an answer that broke off. The next call may succeed.

    Attributes:
        kind: a word for it that is the same on every machine (``ConnectionError``, ``HTTPError``, ...).
    """

    def __init__(self, kind: str, url: str, found: str, mend: str | None = None) -> None:
        super().__init__("a file could not be downloaded", where=shown(url), found=found, mend=mend)
        self.kind = kind


@dataclasses.dataclass
class _Interrupted(Exception):
    """An attempt that may be made again."""

    kind: str
    found: str
    wait_s: float | None = None


def fetch(
    url: str,
    target: Path,
    sha256: str,
    size_bytes: int | None = None,
    max_bytes: int = 16 << 30,
    *,
    allow_http: bool = False,
    timeout_s: float = 30,
    attempts: int = 6,
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """Download ``url`` to ``target`` and return it; a ``target`` that is already right costs no request.

    Args:
        sha256: hex sha256 of the file, or its first 8 or more digits where its publisher gives no more.
        size_bytes: its exact size where known; any other size is refused early.
        max_bytes: no more than this is ever written.
        allow_http: take an unencrypted address too; http on this machine is always taken.
        timeout_s: of silence, after which an attempt is given up.
        attempts: so many in a row without a byte gained, 1, 2, 4, ... seconds apart.

    Raises:
        Unreachable: it can't be had now; what came so far is kept and the next call goes on from there.
        SrledgerError: an address that may not be asked, a full disk, another size or another sha256.
    """
    if not re.fullmatch(r"[0-9a-f]{8,64}", sha256):
        raise ValueError(f"{sha256!r} is not a hex sha256 or the beginning of one")
    check_address(url, allow_http)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _alone(target):
        if target.exists():
            return _checked(target, sha256)
        download = _Download(url, Partial(target, url), size_bytes, max_bytes, allow_http, timeout_s)
        resumed = download.run(attempts, sleep)
        if resumed and not download.part.sha256().startswith(sha256):
            # Its pieces may be of two versions of the file, or from before a power cut: once from zero.
            download.part.discard()
            download.run(attempts, sleep)
        found = download.part.sha256()
        if not found.startswith(sha256):
            with download.part.path.open("rb") as file:
                is_page = file.read(512).lstrip().lower().startswith((b"<!doctype html", b"<html"))
            download.part.discard()
            raise SrledgerError(
                "a downloaded file is not the one it should be", where=shown(url),
                found=f"sha256 {found}" + (" (it is a web page)" if is_page else ""),
                expected=f"sha256 {sha256}" + ("" if len(sha256) == 64 else "..."),
                mend="see whether its publisher has replaced the file; nothing of it was kept",
            )  # fmt: skip
        download.part.finish()
    return target


@contextlib.contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Hold the lock beside the target; a second process waits and then finds the file."""
    from filelock import FileLock, Timeout

    path = target.with_name(f"{target.name}.lock")
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"waiting for another process that downloads {target.name}", file=sys.stderr, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held: who waits for it sees that, and makes a new one
        lock.release()


def _checked(target: Path, sha256: str) -> Path:
    found = sha256_file(target)
    if not found.startswith(sha256):
        raise SrledgerError(
            "a file is not the one it should be", where=target, found=f"sha256 {found}", expected=f"sha256 {sha256}",
            mend=f"rm {target}",
        )  # fmt: skip
    return target


@dataclasses.dataclass(frozen=True)
class _Download:
    """Brings a partial file to its end."""

    url: str
    part: Partial
    size_bytes: int | None
    max_bytes: int
    allow_http: bool
    timeout_s: float

    def run(self, attempts: int, sleep: Callable[[float], None]) -> bool:
        """Make attempts until all bytes are there; whether the last one continued an earlier one."""
        self._check_size(self.size_bytes)
        failures, furthest = 0, self.part.size_bytes()
        with plain_session() as session:
            while True:
                try:
                    return self._attempt(session)
                except _Interrupted as stop:
                    # An attempt that got further than any before is no failure; so the worst line ends some day.
                    failures = 0 if self.part.size_bytes() > furthest else failures + 1
                    furthest = max(furthest, self.part.size_bytes())
                    if failures >= attempts:
                        mend = "run the same command again: it goes on from here"
                        raise Unreachable(stop.kind, self.url, stop.found, mend) from None
                    pause_s = min(2.0 ** max(0, failures - 1), MAX_WAIT_S)
                    sleep(pause_s if stop.wait_s is None else stop.wait_s)

    def _attempt(self, session: requests.Session) -> bool:
        import requests
        import urllib3

        expected = self.part.total_bytes if self.size_bytes is None else self.size_bytes
        offset = self.part.size_bytes()
        if offset and offset == expected:
            return True
        if offset > (self.max_bytes if expected is None else expected):
            self.part.discard()
            offset = 0
        headers = {"Accept-Encoding": "identity"}  # ranges and sizes are then those of the file itself
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if self.part.validator:
                headers["If-Range"] = self.part.validator
        try:
            with self._open(session, headers) as response:
                start = self._where_it_starts(response, offset)
                if response.status_code != 416:  # then all of it is here
                    self._receive(response, start)
                return start > 0
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            kind = type(error).__name__  # its text holds the whole address, so only its name is told
            raise _Interrupted(kind, f"no connection, or it broke off ({kind})") from None

    @contextlib.contextmanager
    def _open(self, session: requests.Session, headers: dict[str, str]) -> Iterator[requests.Response]:
        """The answer after all redirects, each of them checked before it is followed."""
        url, timeouts = self.url, (self.timeout_s, self.timeout_s)
        for _ in range(MAX_REDIRECTS + 1):
            with session.get(url, headers=headers, stream=True, allow_redirects=False, timeout=timeouts) as response:
                if not response.is_redirect:
                    yield response
                    return
                location = response.headers["Location"]
            url = redirected(self.url, url, location, self.allow_http)
        raise SrledgerError(
            "a download is sent on and on", where=shown(self.url), found=f"more than {MAX_REDIRECTS} redirects"
        )

    def _where_it_starts(self, response: requests.Response, offset: int) -> int:
        """The byte of the file that the body starts with."""
        status = response.status_code
        if status in RETRIED_STATUS:
            raise _Interrupted("HTTPError", f"HTTP {status} {response.reason}", _retry_after_s(response))
        said = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", response.headers.get("Content-Range", "").strip())
        total = int(said[3]) if said and said[3] != "*" else None
        if offset and status == 206 and said and said[1] == str(offset):
            self._check_size(total)
            self.part.total_bytes = total if self.part.total_bytes is None else self.part.total_bytes
            return offset
        if offset and status in (206, 416):
            if status == 416 and total == offset:
                return offset
            self.part.discard()
            raise _Interrupted("HTTPError", "the server could not go on with the version begun")
        if status != 200:
            raise Unreachable("HTTPError", self.url, f"HTTP {status} {response.reason}")
        length = response.headers.get("Content-Length", "")
        etag = response.headers.get("ETag", "")
        validator = etag if etag.startswith('"') else response.headers.get("Last-Modified")  # a weak ETag won't do
        self.part.start(validator, int(length) if length.isdecimal() else None)
        self._check_size(self.part.total_bytes)
        return 0

    def _receive(self, response: requests.Response, start: int) -> None:
        """Append the body to the partial file."""
        done = start
        total = self.part.total_bytes if self.size_bytes is None else self.size_bytes
        limit = self.max_bytes if total is None else total
        title = f"download {self.part.target.name}"
        with Progress(title, -(-(total or 0) // MIB), done // MIB) as progress, self.part.append() as write:
            while chunk := response.raw.read1(READ_BYTES, decode_content=False):
                done += len(chunk)
                if done > limit:
                    self._refuse_size(f"{done} bytes or more")
                write(chunk)
                progress.advance(done // MIB, "MiB")
        if total is not None and done < total:
            raise _Interrupted("ConnectionError", f"the body ended after {done} of {total} bytes")

    def _check_size(self, total_bytes: int | None) -> None:
        """Raise SrledgerError when the file is not of the right size, too large, or larger than the disk."""
        if total_bytes is None:
            return
        if total_bytes > self.max_bytes or self.size_bytes not in (None, total_bytes):
            self._refuse_size(f"{total_bytes} bytes")
        folder = self.part.target.parent
        needed = total_bytes - self.part.size_bytes() + SPARE_BYTES
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise SrledgerError(
                "there is too little room on the disk for a download", where=folder, found=f"{free // MIB} MiB free",
                expected=f"{-(-needed // MIB)} MiB", mend="make room, or name another folder in SRLEDGER_CACHE",
            )  # fmt: skip

    def _refuse_size(self, found: str) -> None:
        self.part.discard()
        limit = f"{self.size_bytes} bytes, " if self.size_bytes is not None else ""
        raise SrledgerError(
            "a file is not of the size it should have", where=shown(self.url), found=found,
            expected=f"{limit}{self.max_bytes} bytes at most (max_bytes)",
        )  # fmt: skip


def _retry_after_s(response: requests.Response) -> float | None:
    """The pause that a server asks for, at most MAX_WAIT_S; a date is read against the server's own clock."""
    said = response.headers.get("Retry-After", "").strip()
    seconds: float | None = float(said) if said.isdecimal() else None
    if seconds is None:
        with contextlib.suppress(TypeError, ValueError):
            then, now = (parsedate_to_datetime(text) for text in (said, response.headers.get("Date", "")))
            seconds = (then - now).total_seconds()
    return None if seconds is None else min(max(seconds, 0.0), MAX_WAIT_S)
