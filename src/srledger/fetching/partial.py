"""A file on its way: its bytes so far, and which version of which address they belong to.

``<target>.part`` grows; ``<target>.part.json`` remembers. Without a memory that fits the address, or whole again, the
bytes are worth nothing and are dropped.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from srledger.errors import SrledgerError
from srledger.io import fsync_folder, read_json, sha256_bytes, sha256_file, write_json


class Partial:
    """The part of ``target`` that came from ``url`` so far.

    Attributes:
        validator: the ETag or date that the server gave to this version, or None.
        total_bytes: the size of the whole file as the server said it, or None.
    """

    def __init__(self, target: Path, url: str) -> None:
        self.target = target
        self.path = target.with_name(f"{target.name}.part")
        self._memory_path = target.with_name(f"{target.name}.part.json")
        # The hash of the address stands for it: an address may hold a password.
        self._address_sha256 = sha256_bytes(url.encode())
        memory = self._remembered()
        self.validator: str | None = memory.get("validator")
        self.total_bytes: int | None = memory.get("total_bytes")
        if not memory:
            self.discard()

    def _remembered(self) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            memory = read_json(self._memory_path)
            if isinstance(memory, dict) and memory.get("address_sha256") == self._address_sha256:
                return memory
        return {}

    def size_bytes(self) -> int:
        """How many bytes there are."""
        return self.path.stat().st_size if self.path.exists() else 0

    def sha256(self) -> str:
        """Hex sha256 of the bytes."""
        return sha256_file(self.path)

    def discard(self) -> None:
        """Drop bytes and memory: they can't be trusted."""
        self.path.unlink(missing_ok=True)
        self._memory_path.unlink(missing_ok=True)
        self.validator = self.total_bytes = None

    def start(self, validator: str | None, total_bytes: int | None) -> None:
        """Begin a new version, with no bytes yet."""
        self.discard()
        self.validator, self.total_bytes = validator, total_bytes
        memory = {"address_sha256": self._address_sha256, "validator": validator, "total_bytes": total_bytes}
        write_json(self._memory_path, memory)

    @contextlib.contextmanager
    def append(self) -> Iterator[Callable[[bytes], None]]:
        """A function that adds bytes. Raises SrledgerError when the disk is full."""
        # Unbuffered: what was received is with the kernel at once, and survives the death of the process.
        with self.path.open("ab", buffering=0) as file:

            def write(chunk: bytes) -> None:
                rest = memoryview(chunk)
                while rest:  # an unbuffered write may take less than it is given
                    rest = rest[file.write(rest) :]

            try:
                yield write
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                raise SrledgerError(
                    "the disk is full", where=self.path,
                    mend="make room and run the same command again: it goes on from here",
                ) from error  # fmt: skip

    def finish(self) -> None:
        """Give the bytes, which the caller has checked, the name of the target for good."""
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())
        self.path.replace(self.target)
        fsync_folder(self.target.parent)
        self._memory_path.unlink(missing_ok=True)
