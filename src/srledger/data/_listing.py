"""What lies in a folder of images: every entry is a file to read, left out on purpose, or refused by name."""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from srledger.data._content import demand_plain, os_reason, relative_name, stat_mode
from srledger.data._naming import shown
from srledger.data._refusals import Refusal, Refused
from srledger.errors import SrledgerError


@dataclasses.dataclass(frozen=True)
class Lister:
    """Lists folders of one set; no file is opened for it.

    Attributes:
        path: the set's folder; names of refused entries are relative to it.
        ignore: glob patterns of names, of files and folders, that are left out on purpose.
        known: files and folders with another part in the set, as ``places`` gives them.
        one_deeper: images stand one level deeper, in subfolders (for each identity, or not).
    """

    path: Path
    ignore: tuple[str, ...]
    known: frozenset[Path]
    one_deeper: bool

    def files(self, folder: Path) -> tuple[list[Path], list[Refusal]]:
        """Files of ``folder``, also those that symbolic links lead to, in the order of their names; what is refused.

        Raises:
            SrledgerError: the folder itself is not there or can't be listed.
        """
        if not folder.is_dir():
            raise SrledgerError(
                "there is no such folder", where=shown(folder), mend="correct the data set's splits or lr_folder"
            )
        try:
            found = list(self._walk(self._entries(folder), may_enter=self.one_deeper))
        except Refused as refused:
            raise SrledgerError(f"a folder can't be used: {refused}", where=shown(folder)) from refused
        files = sorted(entry for entry in found if isinstance(entry, Path))
        return files, [entry for entry in found if isinstance(entry, Refusal)]

    def _walk(self, entries: Iterable[Path], *, may_enter: bool) -> Iterator[Path | Refusal]:
        for entry in entries:
            try:
                mode = stat_mode(entry)
                if may_enter and stat.S_ISDIR(mode):
                    images = self._entries(entry)
                    if not images:
                        raise Refused("a folder without images")
                    yield from self._walk(images, may_enter=False)
                    continue
                demand_plain(mode)
                if may_enter:
                    raise Refused("a file that stands in no subfolder (identity_folders, subfolders)")
                yield entry
            except Refused as refused:
                yield Refusal(shown(relative_name(self.path, entry)), str(refused))

    def _entries(self, folder: Path) -> list[Path]:
        """Everything in a folder but what is ignored or has another part, sorted. Raises Refused."""
        try:
            entries = sorted(folder.iterdir())
        except OSError as error:
            raise Refused(os_reason(error)) from error
        kept = (entry for entry in entries if not any(fnmatchcase(entry.name, pattern) for pattern in self.ignore))
        return [entry for entry in kept if _absolute(entry) not in self.known]


def places(paths: Iterable[Path]) -> frozenset[Path]:
    """The given files and folders and every folder on the way to them."""
    return frozenset(place for path in map(_absolute, paths) for place in (path, *path.parents))


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - without following links, as entries are named
