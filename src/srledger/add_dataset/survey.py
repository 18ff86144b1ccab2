"""Looking at a folder of images: what lies in it, what can't be used, and what the names of its subfolders tell."""

from __future__ import annotations

import collections
import csv
import dataclasses
import functools
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from srledger.add_dataset.likeness import Look, look_of
from srledger.data._content import Contents
from srledger.data._decode import UnreadableImage, decode
from srledger.data._landmark_table import COORDINATES
from srledger.data._naming import SUFFIXES, shown
from srledger.data._read_ahead import in_order
from srledger.data._refusals import Refused
from srledger.data.folder import Config
from srledger.errors import SrledgerError
from srledger.io import sha256_bytes
from srledger.progress import Progress

SPLIT_WORDS = {
    "train": {"train", "training"},
    "val": {"val", "valid", "validation", "dev"},
    "test": {"test", "testing", "eval"},
}
LR_WORD = re.compile(r"lr(x?\d+)?|lq|low|lowres")
HR_WORD = re.compile(r"hr|gt|hq|high|highres")
LONGEST_HEADER = 1 << 16
MAX_MEGAPIXELS = Config.model_fields["max_megapixels"].default
MAX_FILE_BYTES = Config(path="", splits={"test": "."}, licence="").max_file_bytes  # more the source won't read either
MANY_IDENTITIES, FEW_IMAGES = 5, 50  # more images on average than this are rather of a class than of a person


@dataclasses.dataclass(frozen=True)
class Seen:
    """A file that was opened.

    Attributes:
        name: relative to the folder, with ``/``.
        sha256, size_bytes: of the file; no hash of one that was not read, as it is too large or can't be.
        content: sha256 of the decoded RGB pixels; None when it is no image that can be used.
        problem: why not.
        greatest: the high byte of the greatest stored value, of an image with 16 bits a channel.
        look: what it is compared by.
    """

    name: str
    sha256: str
    size_bytes: int
    content: str | None = None
    mode: str = ""
    width_px: int = 0
    height_px: int = 0
    problem: str = ""
    greatest: int | None = None
    look: Look | None = dataclasses.field(default=None, compare=False, repr=False)

    @property
    def folder(self) -> str:
        """Where it stands, ``.`` for the folder itself."""
        return PurePosixPath(self.name).parent.as_posix()

    @property
    def suffix(self) -> str:
        """Lower case, with its point."""
        return PurePosixPath(self.name).suffix.lower()

    @property
    def stem(self) -> str:
        """The name alone, without suffix."""
        return PurePosixPath(self.name).stem


@dataclasses.dataclass(frozen=True)
class Survey:
    """All files of a folder, sorted by name."""

    folder: Path
    files: tuple[Seen, ...]

    @property
    def images(self) -> list[Seen]:
        """What can be used."""
        return [seen for seen in self.files if seen.content is not None]

    @property
    def broken(self) -> list[Seen]:
        """Files that are named like images and can't be used as such."""
        return [seen for seen in self.files if seen.content is None and seen.suffix in SUFFIXES]

    @property
    def others(self) -> list[Seen]:
        """Files that are no images and aren't named like any."""
        return [seen for seen in self.files if seen.content is None and seen.suffix not in SUFFIXES]

    def below(self, subfolder: str) -> list[Seen]:
        """Images in a subfolder and the folders in it."""
        return [seen for seen in self.images if subfolder == "." or seen.name.startswith(f"{subfolder}/")]

    def inside(self, subfolder: str) -> Survey:
        """What a look at a subfolder alone would have found."""
        start = f"{subfolder}/"
        files = [seen for seen in self.files if seen.name.startswith(start)]
        renamed = (dataclasses.replace(seen, name=seen.name.removeprefix(start)) for seen in files)
        return Survey(self.folder / subfolder, tuple(renamed))

    def subfolders(self, of: str = ".") -> list[str]:
        """Subfolders with images somewhere below them, one level deep, sorted."""
        depth = 0 if of == "." else len(PurePosixPath(of).parts)
        parts = [PurePosixPath(seen.name).parts for seen in self.below(of)]
        return sorted({"/".join(path[: depth + 1]) for path in parts if len(path) > depth + 1})


def survey_folder(folder: Path) -> Survey:
    """Open every file below ``folder``; hidden files and folders are passed over.

    Raises:
        SrledgerError: a name that is not UTF-8.
    """
    files = list(_walk(folder))
    seen: list[Seen] = []
    with Progress(f"look at {folder.name}", len(files)) as progress:
        for _, one in in_order(functools.partial(_look, folder), files):
            seen.append(one)
            progress.advance(len(seen))
    return Survey(folder, tuple(seen))


def split_subfolders(survey: Survey) -> dict[str, str]:
    """Split -> subfolder, where names such as ``train`` and ``DIV2K_valid_HR`` tell.

    Raises:
        SrledgerError: two subfolders of one split.
    """
    found: dict[str, str] = {}
    for name in survey.subfolders():
        words = _words(name)
        for split, known in SPLIT_WORDS.items():
            if words & known and not is_lr_name(name):
                if split in found:
                    raise SrledgerError(
                        f"two subfolders look like the {split} split", where=survey.folder,
                        found=f"{found[split]}, {name}", mend="rename one of them, or add a subfolder by itself",
                    )  # fmt: skip
                found[split] = name
    return {split: found[split] for split in SPLIT_WORDS if split in found}


def hr_subfolder(survey: Survey) -> str | None:
    """The one subfolder that is called HR, GT, ...; None where there is none or more than one."""
    found = [name for name in survey.subfolders() if any(HR_WORD.fullmatch(word) for word in _words(name))]
    return found[0] if len(found) == 1 else None


def is_lr_name(name: str) -> bool:
    """Whether a folder is called LR, LRx4, Set5_LRx4_matlab, ..."""
    return any(LR_WORD.fullmatch(word) for word in _words(name))


def pairs_of(hr: list[Seen], lr: list[Seen]) -> list[tuple[Seen, Seen]] | None:
    """Each HR image with the LR image of its stem; None when one has none or two would do."""
    counts = collections.Counter(seen.stem for seen in lr)
    by_stem = {seen.stem: seen for seen in lr}
    if len({seen.stem for seen in hr}) != len(hr) or any(counts[seen.stem] != 1 for seen in hr):
        return None
    return [(seen, by_stem[seen.stem]) for seen in hr]


def factor_of(pairs: list[tuple[Seen, Seen]]) -> int | None:
    """The one whole factor by which all LR images are smaller (a rest of HR may be cut off), or None."""
    first_hr, first_lr = pairs[0]
    factor = round(first_hr.width_px / first_lr.width_px)
    fits = factor > 1 and all(
        (hr.width_px // factor, hr.height_px // factor) == (lr.width_px, lr.height_px) for hr, lr in pairs
    )
    return factor if fits else None


def has_identity_folders(survey: Survey, folders: list[str]) -> bool:
    """Whether all images of ``folders`` stand in many subfolders with a few images each."""
    counts = {name: len(survey.below(name)) for folder in folders for name in survey.subfolders(folder)}
    total = sum(counts.values())
    return (
        len(counts) >= MANY_IDENTITIES
        and total == sum(len(survey.below(folder)) for folder in folders)
        and total <= FEW_IMAGES * len(counts)
        and not any(map(is_lr_name, counts))
    )


def landmark_table(survey: Survey) -> str | None:
    """The CSV file of the folder itself that has the columns of a landmarks file, or None."""
    for seen in survey.others:
        if seen.suffix == ".csv" and seen.folder == "." and seen.sha256:
            with (survey.folder / seen.name).open(encoding="utf-8-sig", errors="replace", newline="") as table:
                header = next(csv.reader([table.readline(LONGEST_HEADER)]), [])
            if {"file", *COORDINATES} <= set(header):
                return seen.name
    return None


def _words(name: str) -> set[str]:
    return set(re.split(r"[^a-z0-9]+", PurePosixPath(name).name.lower()))


def subfolders_of(folder: Path) -> list[Path]:
    """Folders in a folder, sorted, without hidden ones."""
    return [entry for entry in _entries(folder) if entry.is_dir()]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise SrledgerError("a folder can't be listed", where=shown(folder), found=error.strerror) from error


def _walk(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """Files below a folder in sorted order, also behind links to folders, but not round in circles."""
    above |= {folder.resolve()}
    for entry in _entries(folder):
        if not entry.is_dir():
            yield entry
        elif entry.resolve() not in above:
            yield from _walk(entry, above)


def _look(folder: Path, file: Path) -> Seen:
    name = file.relative_to(folder).as_posix()
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise SrledgerError("a file's name is not UTF-8", where=shown(file), mend="rename the file") from None
    try:
        data = Contents(folder, None, MAX_FILE_BYTES, keep_digests=False).read(file)
    except Refused as refused:
        return Seen(name, "", 0, problem=str(refused))
    digest = sha256_bytes(data)
    try:
        found = decode(data, file, MAX_MEGAPIXELS)
    except UnreadableImage as error:
        return Seen(name, digest, len(data), problem=error.problem)
    height_px, width_px = found.pixels.shape[:2]
    content = sha256_bytes(found.pixels.tobytes())
    return Seen(
        name, digest, len(data), content, found.mode, width_px, height_px, "", found.greatest, look_of(found.pixels)
    )  # fmt: skip
