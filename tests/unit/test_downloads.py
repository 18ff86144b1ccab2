"""Downloads against a real server that lies, breaks off and misleads: the file is absent or whole."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hostile_server as hostile
import numpy as np
import pytest
from hostile_server import HostileServer

from srledger.errors import SrledgerError
from srledger.fetching.addresses import check_address, check_redirect, redirected, shown
from srledger.fetching.downloads import Unreachable, fetch
from srledger.fetching.partial import Partial
from srledger.io import sha256_bytes

DATA = np.random.default_rng(0).integers(0, 256, 300_000, np.uint8).tobytes()
SHA256 = sha256_bytes(DATA)
FETCH = (
    "import sys, pathlib, srledger.fetching.downloads as d;"
    " d.fetch(sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3])"
)
OTHER = bytes([DATA[0] ^ 1]) + DATA[1:]


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with HostileServer() as running:
        yield running


@pytest.fixture
def pauses() -> list[float]:
    """The pauses that a download asked for, none of them waited."""
    return []


@pytest.fixture
def get(tmp_path: Path, pauses: list[float]) -> Any:
    def get(url: str, sha256: str = SHA256, **options: Any) -> Path:
        options = {"timeout_s": 0.3, "attempts": 3, "sleep": pauses.append, **options}
        return fetch(url, tmp_path / "file.bin", sha256, **options)

    return get


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def begun(folder: Path, server: HostileServer, get: Any, sent_bytes: int = 100_000) -> str:
    """Leave a .part of ``sent_bytes`` bytes; returns the address."""
    url = server.at("/file", hostile.dies_after(DATA, sent_bytes), hostile.status(404))
    with pytest.raises(Unreachable):
        get(url)
    assert (folder / "file.bin.part").read_bytes() == DATA[:sent_bytes]
    server.requests.clear()
    return url


@pytest.mark.parametrize("sha256", [SHA256, SHA256[:8]])
@pytest.mark.parametrize("size_bytes", [len(DATA), None])
def test_a_good_download_leaves_the_file_alone(
    tmp_path: Path, server: HostileServer, get: Any, sha256: str, size_bytes: int | None
) -> None:
    path = get(server.at("/file", hostile.whole(DATA)), sha256, size_bytes=size_bytes)
    assert path.read_bytes() == DATA and names(tmp_path) == {"file.bin"}
    get(server.url("/file"), sha256)
    assert len(server.requests) == 1  # what is there and right costs no request


def test_an_empty_file_is_a_file(server: HostileServer, get: Any) -> None:
    assert get(server.at("/file", hostile.whole(b"")), sha256_bytes(b""), size_bytes=0).read_bytes() == b""


def test_a_file_of_the_name_that_is_another_one_is_neither_used_nor_replaced(
    tmp_path: Path, server: HostileServer, get: Any
) -> None:
    (tmp_path / "file.bin").write_bytes(OTHER)
    with pytest.raises(SrledgerError, match=r"rm .*file\.bin"):
        get(server.at("/file", hostile.whole(DATA)))
    assert (tmp_path / "file.bin").read_bytes() == OTHER and server.requests == []


def test_what_is_there_is_not_fetched_again(tmp_path: Path, server: HostileServer, get: Any) -> None:
    url = begun(tmp_path, server, get)
    server.at("/file", hostile.whole(DATA, hostile.ETAG))
    assert get(url).read_bytes() == DATA and names(tmp_path) == {"file.bin"}
    (request,) = server.requests
    assert (request.range, request.if_range) == ("bytes=100000-", hostile.ETAG)
    assert request.sent_bytes == len(DATA) - 100_000


def test_a_line_that_breaks_again_and_again_is_no_failure_while_bytes_come(
    server: HostileServer, get: Any, pauses: list[float]
) -> None:
    assert get(server.at("/file", hostile.dies_after(DATA, 30_000))).read_bytes() == DATA
    assert server.served_bytes() == len(DATA) and len(pauses) == 9


def test_a_new_version_on_the_server_starts_anew(tmp_path: Path, server: HostileServer, get: Any) -> None:
    url = begun(tmp_path, server, get)
    server.at("/file", hostile.whole(OTHER, '"version-2"'))
    assert get(url, sha256_bytes(OTHER)).read_bytes() == OTHER
    assert [request.sent_bytes for request in server.requests] == [len(OTHER)]


@pytest.mark.parametrize(
    ("behaviour", "requests"),
    [(hostile.no_ranges(DATA), 1), (hostile.wrong_range(DATA), 2), (hostile.status(416), 2), (hostile.status(206), 2)],
)
def test_a_server_that_can_not_go_on_starts_anew(
    tmp_path: Path, server: HostileServer, get: Any, behaviour: hostile.Behaviour, requests: int
) -> None:
    url = begun(tmp_path, server, get)
    server.at("/file", behaviour, hostile.whole(DATA))
    assert get(url).read_bytes() == DATA and len(server.requests) == requests
    assert server.requests[-1].sent_bytes == len(DATA)


def test_a_server_that_says_all_is_there_is_believed_and_checked(
    tmp_path: Path, server: HostileServer, get: Any
) -> None:
    url = begun(tmp_path, server, get, len(DATA) - 1)
    part = Partial(tmp_path / "file.bin", url)
    part.start(hostile.ETAG, None)  # the server had not said the size
    part.path.write_bytes(DATA)
    assert get(server.at("/file", hostile.whole(DATA))).read_bytes() == DATA
    assert [request.sent_bytes for request in server.requests] == [0]


def test_a_part_of_another_address_is_dropped(tmp_path: Path, server: HostileServer, get: Any) -> None:
    begun(tmp_path, server, get)
    assert get(server.at("/other", hostile.whole(DATA))).read_bytes() == DATA
    assert [request.range for request in server.requests] == [None]


def test_a_resumed_file_with_a_wrong_hash_is_fetched_once_from_zero(
    tmp_path: Path, server: HostileServer, get: Any
) -> None:
    url = begun(tmp_path, server, get)
    with (tmp_path / "file.bin.part").open("r+b") as part:
        part.write(OTHER[:1])  # as a power cut may leave it
    server.at("/file", hostile.whole(DATA))
    assert get(url).read_bytes() == DATA
    assert [request.range for request in server.requests] == ["bytes=100000-", None]


def test_one_wrong_byte_is_found_and_nothing_kept(tmp_path: Path, server: HostileServer, get: Any) -> None:
    url = server.at("/file", hostile.whole(OTHER))
    with pytest.raises(SrledgerError) as caught:
        get(url)
    assert all(word in str(caught.value) for word in (url, SHA256, sha256_bytes(OTHER)))
    assert names(tmp_path) == set() and len(server.requests) == 1


@pytest.mark.parametrize("size_bytes", [len(DATA), None])
def test_a_web_page_in_place_of_the_file_is_named(
    tmp_path: Path, server: HostileServer, get: Any, size_bytes: int | None
) -> None:
    with pytest.raises(SrledgerError, match="size" if size_bytes else "web page"):
        get(server.at("/file", hostile.page()), size_bytes=size_bytes)
    assert names(tmp_path) == set()


@pytest.mark.parametrize("said_bytes", [len(DATA) - 1, len(DATA) + 1])
def test_a_stated_size_that_is_not_the_known_one_stops_at_once(
    tmp_path: Path, server: HostileServer, get: Any, said_bytes: int
) -> None:
    with pytest.raises(SrledgerError, match=f"found: +{said_bytes} bytes"):
        get(server.at("/file", hostile.lies_about_size(DATA, said_bytes)), size_bytes=len(DATA))
    assert names(tmp_path) == set() and len(server.requests) == 1


def test_a_body_shorter_than_stated_is_tried_again_and_then_given_up(
    tmp_path: Path, server: HostileServer, get: Any, pauses: list[float]
) -> None:
    with pytest.raises(Unreachable):
        get(server.at("/file", hostile.lies_about_size(DATA, len(DATA) + 5)))
    assert "file.bin" not in names(tmp_path) and len(pauses) >= 2


def test_a_body_longer_than_stated_is_cut_and_refused(tmp_path: Path, server: HostileServer, get: Any) -> None:
    with pytest.raises(SrledgerError, match="sha256"):
        get(server.at("/file", hostile.lies_about_size(DATA, len(DATA) - 5)))
    assert names(tmp_path) == set()


@pytest.mark.parametrize("limits", [{"max_bytes": 200_000}, {"size_bytes": 150_000, "max_bytes": 200_000}])
def test_an_endless_body_is_stopped(tmp_path: Path, server: HostileServer, get: Any, limits: dict[str, int]) -> None:
    with pytest.raises(SrledgerError, match="size"):
        get(server.at("/file", hostile.endless(DATA[:1000])), **limits)
    assert names(tmp_path) == set()


def test_a_file_that_is_too_large_is_refused_before_its_body(server: HostileServer, get: Any) -> None:
    url = server.at("/file", hostile.whole(DATA))
    with pytest.raises(SrledgerError, match="max_bytes"):
        get(url, max_bytes=1000)
    with pytest.raises(SrledgerError, match="max_bytes"):
        get(url, size_bytes=len(DATA), max_bytes=1000)
    assert len(server.requests) == 1  # the second was refused without asking


def test_a_full_disk_is_foreseen(server: HostileServer, get: Any) -> None:
    with pytest.raises(SrledgerError, match="too little room"):
        get(server.at("/file", hostile.whole(DATA)), size_bytes=1 << 60, max_bytes=1 << 61)
    assert server.requests == []


def test_passing_faults_are_waited_out(server: HostileServer, get: Any, pauses: list[float]) -> None:
    faults = hostile.status(503), hostile.status(429, Retry_After=7), hostile.whole(DATA)
    assert get(server.at("/file", *faults)).read_bytes() == DATA and pauses == [1, 7]


def test_a_pause_as_a_date_is_read_by_the_clock_of_the_server_and_capped(
    server: HostileServer, get: Any, pauses: list[float]
) -> None:
    later = hostile.status(503, Retry_After="Fri, 31 Dec 2100 23:59:59 GMT")
    earlier = hostile.status(503, Retry_After="Fri, 31 Dec 1999 23:59:59 GMT")
    get(server.at("/file", later, earlier, hostile.whole(DATA)))
    assert pauses == [60, 0]


def test_attempts_grow_apart_and_end(server: HostileServer, get: Any, pauses: list[float]) -> None:
    with pytest.raises(Unreachable, match="HTTP 503") as caught:
        get(server.at("/file", hostile.status(503)), attempts=5)
    assert pauses == [1, 2, 4, 8] and caught.value.kind == "HTTPError"


def test_silence_is_given_up_and_resumed(server: HostileServer, get: Any, pauses: list[float]) -> None:
    url = server.at("/file", hostile.stalls(DATA, 100_000, silence_s=1), hostile.whole(DATA))
    assert get(url).read_bytes() == DATA and server.requests[1].range == "bytes=100000-"


def test_a_closed_door_is_told_by_name(get: Any, server: HostileServer) -> None:
    with HostileServer() as gone:
        url = gone.url("/file")
    with pytest.raises(Unreachable) as caught:
        get(url)
    assert caught.value.kind == "ConnectionError"


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_a_refusal_is_final(server: HostileServer, get: Any, pauses: list[float], code: int) -> None:
    with pytest.raises(Unreachable, match=f"HTTP {code}"):
        get(server.at("/file", hostile.status(code)))
    assert pauses == [] and len(server.requests) == 1


def test_redirects_are_followed_and_counted(server: HostileServer, get: Any) -> None:
    for k in range(5):
        server.at(f"/{k}", hostile.redirect(f"/{k + 1}"))
    server.at("/5", hostile.whole(DATA))
    assert get(server.url("/0")).read_bytes() == DATA
    assert len(server.requests) == 6


def test_redirects_in_a_circle_end(tmp_path: Path, server: HostileServer, get: Any) -> None:
    with pytest.raises(SrledgerError, match="5 redirects"):
        get(server.at("/round", hostile.redirect("/round")))
    assert len(server.requests) == 6 and names(tmp_path) == set()


@pytest.mark.parametrize(
    "location", ["file:///etc/hostname", "ftp://127.0.0.1/file", "gopher://x/", "http://192.0.2.1/"]
)
def test_a_redirect_elsewhere_is_refused(tmp_path: Path, server: HostileServer, get: Any, location: str) -> None:
    with pytest.raises(SrledgerError, match="address"):
        get(server.at("/file", hostile.redirect(location)))
    assert names(tmp_path) == set()


@pytest.mark.parametrize(
    "location",
    [
        "http://[::1", "//[", "http://127.0.0.1:99999/", "https://127.0.0.1:x/", "http://127.0.0.1/caf\xe9",
        "http://127.0.0.1/caf\xc3\xa9", "http://127.0.0.1/\x1b[2J", "https:///file",
    ],
)  # fmt: skip
def test_a_redirect_to_what_is_no_address_is_one_error_that_names_where_it_came_from(
    tmp_path: Path, server: HostileServer, get: Any, pauses: list[float], location: str
) -> None:
    url = server.at("/file", hostile.redirect(location))
    with pytest.raises(SrledgerError, match="a download was sent") as caught:
        get(url)
    assert caught.value.facts["where"] == url and "found" in caught.value.facts
    assert str(caught.value).isascii() and "\x1b" not in str(caught.value)
    assert names(tmp_path) == set() and len(server.requests) == 1 and pauses == []


def test_a_hop_behind_the_first_is_told_with_the_address_that_was_asked_for(server: HostileServer, get: Any) -> None:
    server.at("/2", hostile.redirect("http://[::1"))
    with pytest.raises(SrledgerError, match="can't be read") as caught:
        get(server.at("/1", hostile.redirect("/2")))
    assert caught.value.facts["where"] == server.url("/1")


def test_the_body_of_a_redirect_is_left_where_it_is(server: HostileServer, get: Any) -> None:
    def endless(handler: hostile.Handler) -> None:
        handler.head(302, Location="/good")
        while True:
            handler.body(DATA)

    server.at("/good", hostile.whole(DATA))
    assert get(server.at("/file", endless)).read_bytes() == DATA


@pytest.mark.parametrize("location", ["http://anna:hunter2@[::1", "http://[::1?token=hunter2", "http://\xe9?hunter2"])
def test_no_secret_of_a_broken_redirect_is_told(location: str) -> None:
    with pytest.raises(SrledgerError) as caught:
        redirected("https://example.org/a", "https://example.org/a", location)
    assert "hunter2" not in str(caught.value) and "https://example.org/a" in str(caught.value)


def test_which_addresses_may_follow_which() -> None:
    public, mirror = "https://93.184.216.34/a", "https://1.1.1.1/a"
    check_redirect(public, public, mirror)
    check_redirect("http://127.0.0.1/a", "http://127.0.0.1/a", "http://127.0.0.1:8000/b")
    check_redirect("https://10.0.0.1/a", "https://10.0.0.1/a", "https://10.0.0.2/a")
    for after in ("https://127.0.0.1/a", "https://10.0.0.1/a", "https://169.254.169.254/a", "https://[::1]/a"):
        with pytest.raises(SrledgerError, match="private"):
            check_redirect(public, public, after)
    with pytest.raises(SrledgerError, match="encrypted"):
        check_redirect(public, public, "http://1.1.1.1/a", allow_http=True)
    with pytest.raises(SrledgerError, match="private"):  # the hop before counts, not where it began
        check_redirect("https://10.0.0.1/a", mirror, "https://10.0.0.2/a")


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/a",
        "ftp://example.org/a",
        "file:///a",
        "/a",
        "https://",
        "https://[::1/a",
        "https://a:99999/",
    ],
)
def test_addresses_that_are_never_asked_are_named(url: str) -> None:
    with pytest.raises(SrledgerError) as caught:
        check_address(url)
    assert url in caught.value.facts["where"]


def test_http_is_for_this_machine_or_for_who_asks() -> None:
    for url in ("http://127.0.0.1:80/a", "http://localhost/a", "http://[::1]:80/a", "https://example.org/a"):
        check_address(url)
    check_address("http://example.org/a", allow_http=True)


def test_no_secret_of_an_address_is_told(
    tmp_path: Path,
    server: HostileServer,
    get: Any,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    server.at("/file", hostile.dies_after(DATA, 1000), hostile.status(403))
    url = f"http://anna:hunter2@127.0.0.1:{server.port}/file?token=hunter2#hunter2"
    with pytest.raises(Unreachable) as caught:
        get(url)
    told = str(caught.value) + caplog.text + "".join(capsys.readouterr())
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.suffix == ".json")
    assert "hunter2" not in told and b"hunter2" not in kept and "file.bin.part.json" in names(tmp_path)
    assert shown(url) == f"http://127.0.0.1:{server.port}/file"


def test_two_at_once_fetch_once(tmp_path: Path, server: HostileServer) -> None:
    url = server.at("/file", hostile.drip(DATA, 30_000, 0.02))
    command = [sys.executable, "-c", FETCH, url, str(tmp_path / "file.bin"), SHA256]
    running = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait(timeout=30) for process in running] == [0, 0]
    assert (tmp_path / "file.bin").read_bytes() == DATA and server.served_bytes() == len(DATA)
    assert names(tmp_path) == {"file.bin"}


def test_ctrl_c_leaves_what_can_be_resumed(tmp_path: Path, server: HostileServer, get: Any) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    url = server.at("/file", hostile.dies_after(DATA, 50_000), hostile.whole(DATA))
    with pytest.raises(KeyboardInterrupt):
        get(url, sleep=interrupt)
    assert names(tmp_path) == {"file.bin.part", "file.bin.part.json"}
    get(url)
    assert server.served_bytes() == len(DATA)


def test_killed_at_any_moment_it_is_absent_or_whole_and_goes_on(tmp_path: Path) -> None:
    data = np.random.default_rng(1).integers(0, 256, 2_000_000, np.uint8).tobytes()
    target, part = tmp_path / "file.bin", tmp_path / "file.bin.part"
    with HostileServer() as server:
        url = server.at("/file", hostile.drip(data, 8_000, 0.004))
        command = [sys.executable, "-c", FETCH, url, str(target), sha256_bytes(data)]
        seen = [0]
        for wait_for_bytes in (0, 100_000, 700_000, 1_500_000):
            process = subprocess.Popen(command)
            while process.poll() is None and (part.stat().st_size if part.exists() else -1) < wait_for_bytes:
                time.sleep(0.005)
            process.kill()
            assert process.wait() != 0 and not target.exists()
            seen.append(part.stat().st_size)
            assert part.read_bytes() == data[: seen[-1]]
        assert seen == sorted(seen) and seen[-1] >= 1_500_000
        subprocess.run(command, check=True, timeout=60)
        starts = [int(request.range[6:-1]) if request.range else 0 for request in server.requests]
    assert target.read_bytes() == data and names(tmp_path) == {"file.bin"}
    assert starts == seen[-len(starts) :] and len(starts) >= 4  # each went on where the one before was killed
