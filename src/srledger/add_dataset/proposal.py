"""From a folder of images to entries of params.yaml: a dataset, a task on it, and a number for the next `dvc repro`."""

from __future__ import annotations

import dataclasses
import glob
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from srledger.add_dataset.params_edit import Append, Change, Insert
from srledger.add_dataset.parting import SHARES, part
from srledger.add_dataset.place import Place
from srledger.add_dataset.survey import Seen, Survey
from srledger.config import Params
from srledger.data._content import digest_files, files_sha256, relative_name
from srledger.data.folder import Config, Folder
from srledger.errors import SrledgerError, unknown_name
from srledger.io import canonical_json
from srledger.plugins import plugin_class, plugin_names

DEFAULT_FACTOR = 4
SMALLEST_HR_PX = 8
NAMED_AT_MOST = 20  # in a message
LEFT_OUT_AT_MOST = 50  # names in an entry that a person still reads
ROOT_ENV = Config.model_fields["root_env"].default


@dataclasses.dataclass(frozen=True)
class Wishes:
    """What the user asked for; None and an empty text leave it to the folder.

    Attributes:
        hr_size: pixels, or ``as-is`` for images at their own sizes.
    """

    name: str = ""
    scales: tuple[str, ...] = ()
    scale_factor: int | None = None
    degradation: str = ""
    hr_size: str = ""
    licence: str = ""
    redistributable: bool = False


@dataclasses.dataclass(frozen=True)
class Proposal:
    """Entries to be written.

    Attributes:
        transfer: measures the bicubic row on the task; None where no such row runs.
        config: of the ``folder`` source, as it will stand in params.yaml.
        left_out: name of an image -> why it is ignored.
        digests: sha256 of each file that the entry reads, by its name relative to the set's path.
    """

    name: str
    task: str
    transfer: str | None
    scales: tuple[str, ...]
    degradation: str
    scale_factor: int
    hr_size_px: int | None
    config: dict[str, Any]
    left_out: dict[str, str]
    digests: dict[str, str]
    changes: tuple[Change, ...]


def propose(params: Params, survey: Survey, place: Place, wishes: Wishes) -> Proposal:
    """The entries for a folder, and the wishes that differ from what it would get by itself.

    Raises:
        SrledgerError: an unknown scale or degradation, a name that is taken, a size that does not fit, too few images.
    """
    scales = wishes.scales or (params.entries.scale,)
    for scale in scales:
        if scale not in params.entries.scales:
            raise unknown_name("scale", scale, params.entries.scales, where="--scale")
    degradation, factor = _degradation(place, wishes)
    name = free_name(params, survey.folder, wishes.name)
    images = place.images(survey)
    hr_size_px, left_out = _fit(images, wishes.hr_size, factor, place)
    split_seed, copies = part(place, [seen for seen in images if seen.name not in left_out])
    left_out |= copies
    config = _config(survey, place, images, left_out, split_seed)
    digests = _digests(survey, config)
    config["files_sha256"] = files_sha256(digests)
    config |= {"licence": wishes.licence, "redistributable": wishes.redistributable}
    task = _untaken(f"{name}_x{factor}", params.entries.tasks, "task")
    row, prior = _bicubic(params)
    transfer = _untaken(f"{row}_on_{task}", list(params.evaluations), "row") if row and prior else None
    changes: list[Change] = [
        Insert(("datasets",), name, {"description": f"images of the folder {survey.folder.name}"}),
        Insert(("tasks",), task, _task_entry(name, degradation, factor, hr_size_px)),
    ]
    if transfer:
        changes.append(Insert(("transfers",), transfer, {"row": row, "task": task, "prior": prior}))
    for scale, block in params.entries.scales.items():
        here = scale in scales
        entry = {"source": "folder", "config": config} if here else None
        changes.append(Insert(("scales", scale, "datasets"), name, entry))
        if here and transfer and block.rows != "all":
            changes.append(Append(("scales", scale, "rows"), transfer))
    return Proposal(
        name, task, transfer, tuple(scales), degradation, factor, hr_size_px, config, left_out, digests, tuple(changes)
    )  # fmt: skip


def _task_entry(dataset: str, degradation: str, factor: int, hr_size_px: int | None) -> dict[str, Any]:
    entry = {"dataset": dataset, "degradation": degradation, "scale_factor": factor}
    return entry if hr_size_px is None else {**entry, "hr_size_px": hr_size_px}


def source_config(config: Mapping[str, Any]) -> Config:
    """Settings as they stand in params.yaml, checked."""
    return Config.model_validate_json(canonical_json(config))


def free_name(params: Params, folder: Path, wished: str = "") -> str:
    """The dataset's key: the one asked for, or made from the folder's name.

    Raises:
        SrledgerError: it can't be a key, or is taken.
    """
    name = wished or re.sub(r"[^A-Za-z0-9]+", "_", folder.name).strip("_").lower()
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise SrledgerError(
            "a name can't be a key of params.yaml", where="--name" if wished else folder, found=name or folder.name,
            expected="letters, digits and _, a letter first", mend="choose one with --name",
        )  # fmt: skip
    if name in params.entries.datasets:
        free = next(f"{name}_{k}" for k in range(2, 1000) if f"{name}_{k}" not in params.entries.datasets)
        raise SrledgerError(
            f"there is a dataset '{name}' already", where=params.file.place(("datasets", name)), nearest=free,
            mend=f"--name {free}; or --update, where its own folder was edited",
        )  # fmt: skip
    return name


def _untaken(name: str, taken: Iterable[str], kind: str) -> str:
    if name in taken:
        raise SrledgerError(f"there is a {kind} '{name}' already", mend="choose another name with --name")
    return name


def _bicubic(params: Params) -> tuple[str | None, str | None]:
    """A row and a prior that need no training and are there for every task."""
    entries = params.entries
    row = next((name for name, entry in entries.variants.items() if entry.method == "bicubic"), None)
    uniform = (name for name, entry in entries.priors.items() if (entry.prior or name) == "uniform")
    return row, next((name for name in uniform if entries.priors[name].tasks == "all"), None)


def _degradation(place: Place, wishes: Wishes) -> tuple[str, int]:
    given = place.lr_factor
    if wishes.degradation and wishes.degradation not in plugin_names("degradations"):
        raise unknown_name("degradation", wishes.degradation, plugin_names("degradations"), where="--degradation")
    degradation = wishes.degradation or ("given_lr" if given else "bicubic")
    factor = wishes.scale_factor or given or DEFAULT_FACTOR
    if not plugin_class("degradations", degradation).gives_reference:
        if wishes.scale_factor:
            raise SrledgerError(
                "images without a reference are restored at their own size", where="--scale-factor",
                found=wishes.scale_factor, mend="leave it out",
            )  # fmt: skip
        factor = 1
    if degradation == "given_lr" and given is None:
        raise SrledgerError(
            "the folder brings no LR images", where="--degradation", found="given_lr",
            expected="a folder LR (or beside it ..._LRx4) with an image of the same name for each", mend="leave it out",
        )  # fmt: skip
    if degradation == "given_lr" and factor != given:
        raise SrledgerError("the LR images are not so small", where="--scale-factor", found=factor, expected=given)
    return degradation, factor


def _fit(images: list[Seen], hr_size: str, factor: int, place: Place) -> tuple[int | None, dict[str, str]]:
    """The square that HR images are reduced to (None: as they are), and the images that don't allow it."""
    square = all(seen.width_px == seen.height_px for seen in images)
    shortest = [min(seen.width_px, seen.height_px) for seen in images]
    size: int | None = None
    if hr_size not in ("", "as-is"):
        size = int(hr_size) if hr_size.isdecimal() else 0
        if size < SMALLEST_HR_PX or size % factor:
            raise SrledgerError(
                "an HR size that can't be used", where="--hr-size-px", found=hr_size,
                expected=f"as-is, or a multiple of {factor} of at least {SMALLEST_HR_PX}",
            )  # fmt: skip
    elif not hr_size and square and not place.lr_factor:
        size = min((side for side in shortest if side >= factor), default=0) // factor * factor
        size = size if size >= SMALLEST_HR_PX else None
    left_out: dict[str, str] = {}
    for seen, side in zip(images, shortest, strict=True):
        if side < (size or factor):
            left_out[seen.name] = f"{seen.width_px} x {seen.height_px} px, smaller than {size or factor} px"
        elif size is not None and seen.width_px != seen.height_px:
            left_out[seen.name] = f"{seen.width_px} x {seen.height_px} px, not square"
    if len(left_out) == len(images):
        name, why = next(iter(left_out.items()))
        raise SrledgerError(
            "no image fits the task", found=f"{name}: {why}", mend="a smaller --scale-factor or --hr-size-px, or as-is"
        )
    return size, left_out


def _config(
    survey: Survey, place: Place, images: list[Seen], left_out: Mapping[str, str], split_seed: int | None
) -> dict[str, Any]:
    """Settings of the ``folder`` source but for hash and licence; what is as by default is not said."""
    config: dict[str, Any] = _path(place.path)
    if place.splits:
        config["splits"] = dict(place.splits)
    else:
        config["split_shares"] = dict(SHARES)
        config |= {"split_seed": split_seed} if split_seed else {}
    config |= {"identity_folders": True} if place.identity_folders else {}
    config |= {"landmarks_csv": place.landmarks_csv} if place.landmarks_csv else {}
    config |= {"lr_folder": place.lr_folder} if place.lr_folder else {}
    patterns = [*place.patterns_of_others(survey), *_patterns(left_out, images, survey.folder)]
    if patterns:
        config["ignore"] = [*Config.model_fields["ignore"].default, *patterns]
    config |= {"skip_unreadable": True} if place.broken(survey) else {}
    return config


def _path(path: Path) -> dict[str, Any]:
    """Relative to the mirror for what lies in it: such an entry is true on every machine."""
    mirror = os.environ.get(ROOT_ENV)
    if mirror and path.resolve().is_relative_to(Path(mirror).resolve()):
        return {"path": path.resolve().relative_to(Path(mirror).resolve()).as_posix()}
    return {"path": str(path), "root_env": None}


def _patterns(left_out: Mapping[str, str], images: list[Seen], folder: Path) -> list[str]:
    """Names to ignore. Raises SrledgerError where too many are, or where a name would hit another image too."""
    used = Counter(seen.name.rpartition("/")[2] for seen in images if seen.name not in left_out)
    clashes = [name for name in left_out if used[name.rpartition("/")[2]]]
    if clashes or len(left_out) > LEFT_OUT_AT_MOST:
        names = clashes or list(left_out)
        lines = [f"{name}: {left_out[name]}" for name in names[:NAMED_AT_MOST]]
        lines += [f"... and {len(names) - NAMED_AT_MOST} more"] if len(names) > NAMED_AT_MOST else []
        raise SrledgerError(
            f"{len(names)} images can't be used", where=folder, found=("\n" + " " * 12).join(lines),
            expected="names that no other image has" if clashes else f"at most {LEFT_OUT_AT_MOST} to leave out by name",
            mend="take them out of the folder",
        )  # fmt: skip
    return sorted({glob.escape(name.rpartition("/")[2]) for name in left_out})


def _digests(survey: Survey, config: Mapping[str, Any]) -> dict[str, str]:
    """sha256 of what the entry reads; what the survey has read is not read again."""
    source = Folder(source_config({**config, "licence": ""}))
    known = {survey.folder / seen.name: seen.sha256 for seen in survey.files if seen.sha256}
    files = source.files()
    read = {relative_name(source.path, file): known[file] for file in files if file in known}
    return read | digest_files(source.path, [file for file in files if file not in known])
