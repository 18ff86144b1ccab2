"""Which web addresses may be asked, and how one is shown: never with its user name, password or query."""

from __future__ import annotations

import ipaddress
import re
import socket
from urllib.parse import urljoin, urlsplit

from srledger.errors import SrledgerError


def shown(url: str) -> str:
    """``url`` fit for a message or a log: without user name, password, query and fragment."""
    try:
        parts = urlsplit(url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return _shown_raw(url)
    return f"{parts.scheme}://{host}{port}{parts.path}"


def _shown_raw(url: str) -> str:
    """As ``shown``, of what is no address: nobody can say where its password begins, so rather too little is told."""
    return "(not told, for its '@')" if "@" in url else ascii(re.split("[?#]", url)[0][:200])


def check_address(url: str, allow_http: bool = False) -> None:
    """Raise SrledgerError unless ``url`` is https, or http on this machine, or http and that is allowed."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise SrledgerError("an address can't be read", where=shown(url), expected="https://host/path") from None
    if not host or parts.scheme not in ("http", "https"):
        raise SrledgerError("an address is not one of the web", where=shown(url), expected="https://host/path")
    if parts.scheme == "http" and not (allow_http or is_loopback(host)):
        raise SrledgerError(
            "an address is not encrypted", where=shown(url), found="http", expected="https",
            mend="use the https address, or set allow_http: true (the sha256 is checked either way)",
        )  # fmt: skip


def check_redirect(first: str, before: str, after: str, allow_http: bool = False) -> None:
    """Raise SrledgerError unless a download of ``first`` may go on from ``before`` to ``after``."""
    try:
        check_address(after, allow_http)
    except SrledgerError as error:
        facts = {**error.facts, "where": shown(first), "found": shown(after)}
        raise SrledgerError(f"a download was sent where it can't go on: {error.problem}", **facts) from None
    if urlsplit(before).scheme == "https" and urlsplit(after).scheme == "http":
        raise SrledgerError(
            "a download was sent from an encrypted address to an open one", where=shown(first), found=shown(after)
        )
    if is_private(urlsplit(after).hostname or "") and not is_private(urlsplit(before).hostname or ""):
        # A server outside must not make this machine read from its own network.
        raise SrledgerError(
            "a download was sent from a public address to a private one", where=shown(first), found=shown(after)
        )


def redirected(first: str, before: str, location: str, allow_http: bool = False) -> str:
    """The address that a download of ``first`` goes on to when ``before`` answers with ``location``.

    Raises:
        SrledgerError: it may not be asked, or is no address; ``first`` is named.
    """
    if not (location.isascii() and location.isprintable()):
        raise SrledgerError(
            "a download was sent to an address with raw bytes in it", where=shown(first),
            found=_shown_raw(location), expected="printable ASCII, other bytes as %XX",
        )  # fmt: skip
    try:
        after = urljoin(before, location)
    except ValueError:
        after = location  # it can't be read, which is what the check says of it
    check_redirect(first, before, after, allow_http)
    return after


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine by its name or number; no name server is asked."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_private(host: str) -> bool:
    """Whether ``host`` is, or by the name server leads to, an address that is not of the public net."""
    try:
        found = {str(info[4][0]).partition("%")[0] for info in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return False  # the connection itself will say what is wrong with the name
    return any(not ipaddress.ip_address(address).is_global for address in found)
