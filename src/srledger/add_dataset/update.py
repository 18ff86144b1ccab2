"""`srledger add-dataset --update`: accept a folder that was edited since its hash was written to params.yaml."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from srledger.add_dataset.dialog import confirm, open_console, show_diff
from srledger.add_dataset.params_edit import Change, Insert, Replace, check_params, edit, read_text, replace_params
from srledger.add_dataset.proposal import source_config
from srledger.config import Params
from srledger.data._content import digest_files, files_sha256
from srledger.data.folder import Folder
from srledger.errors import SrledgerError, nearest_name
from srledger.io import read_json, write_json

SHOWN_AT_MOST = 20


def update_dataset(root: Path, folder: Path, name: str, *, dry_run: bool, sure: bool) -> None:
    """Write the present ``files_sha256`` of the dataset in ``folder``, after showing which files differ and asking.

    Args:
        name: the dataset, where several read the folder; empty: the only one.

    Raises:
        SrledgerError: no dataset reads the folder, or several do; what is wrong with the folder.
    """
    params = Params.load(root)
    before, text = read_text(root / "params.yaml")
    name, scales = _dataset_in(params, folder.resolve(), name)
    changes: list[Change] = []
    digests: dict[str, str] = {}
    for scale in scales:
        config = params.entries.scales[scale].datasets[name].config  # type: ignore[union-attr]
        source = Folder(source_config(config))
        digests = digest_files(source.path, source.files())
        keys, found = ("scales", scale, "datasets", name, "config"), files_sha256(digests)
        if "files_sha256" in config:
            changes.append(Replace((*keys, "files_sha256"), found))
        else:
            changes.append(Insert(keys, "files_sha256", found))
    new = edit(text, changes)
    console = open_console()
    _show_edited(console, listing_path(root, name), digests)
    if new == text:
        console.print(Text(f"params.yaml holds the hash of {name} as it is: nothing to do"))
        write_listing(root, name, source.path, digests)
        return
    check_params(new, scales)
    show_diff(console, text, new)
    if dry_run:
        console.print(Text("dry run: params.yaml is as it was"))
        return
    confirm(sure)
    replace_params(root / "params.yaml", before, new)
    write_listing(root, name, source.path, digests)
    console.print(Text(f"params.yaml: {name} is now these {len(digests)} files; next: dvc repro", "green"))


def listing_path(root: Path, name: str) -> Path:
    """Where the files of a dataset are remembered: name -> sha256 and size."""
    return root / "scratch" / "sources" / f"{name}.json"


def write_listing(root: Path, name: str, path: Path, digests: Mapping[str, str]) -> None:
    """Remember the files of a dataset, for a later look at what was edited.

    Args:
        path: the set's folder.
        digests: sha256 by name relative to it.
    """
    files = {file: {"sha256": digest, "size_bytes": (path / file).stat().st_size} for file, digest in digests.items()}
    write_json(listing_path(root, name), files)


def _dataset_in(params: Params, folder: Path, name: str) -> tuple[str, list[str]]:
    """The dataset that reads ``folder``, and the scales at which it does."""
    found: dict[str, list[str]] = {}
    for scale, block in params.entries.scales.items():
        for dataset, entry in block.datasets.items():
            if entry is not None and entry.source == "folder" and folder in _folders_of(entry.config):
                found.setdefault(dataset, []).append(scale)
    if name and name not in found:
        raise SrledgerError(
            f"dataset '{name}' does not read this folder", where=folder, found=name,
            expected="one of " + ", ".join(found) if found else "a dataset of params.yaml",
            nearest=nearest_name(name, found), mend=None if found else "add the folder first, without --update",
        )  # fmt: skip
    if len(found) != 1 and not name:
        raise SrledgerError(
            "several datasets read this folder" if found else "no dataset reads this folder", where=folder,
            found=", ".join(found) or None, mend="choose with --name" if found else "add it first, without --update",
        )  # fmt: skip
    name = name or next(iter(found))
    return name, found[name]


def _folders_of(config: Mapping[str, Any]) -> Iterator[Path]:
    """The folder of a ``folder`` source and of its splits; none where the variable that says where it is isn't set."""
    settings = source_config(config)
    variable = settings.root_env
    if variable is None or os.environ.get(variable):
        path = Path(os.environ[variable] if variable else "/") / settings.path
        for place in (path, *(path / name for name in (settings.splits or {}).values())):
            yield place.resolve()


def _show_edited(console: Console, listing: Path, digests: Mapping[str, str]) -> None:
    """Files that were added, removed or changed since the listing was written."""
    if not listing.exists():
        console.print(Text(f"{listing} is not there, so which files were edited can't be told"))
        return
    earlier = {name: file["sha256"] for name, file in read_json(listing).items()}
    edited = {
        "added": sorted(digests.keys() - earlier.keys()),
        "removed": sorted(earlier.keys() - digests.keys()),
        "changed": sorted(name for name in digests.keys() & earlier.keys() if digests[name] != earlier[name]),
    }
    for what, names in edited.items():
        for name in names[:SHOWN_AT_MOST]:
            console.print(Text(f"{what}: {name}"))
        if len(names) > SHOWN_AT_MOST:
            console.print(Text(f"{what}: ... and {len(names) - SHOWN_AT_MOST} more"))
    if not any(edited.values()):
        console.print(Text(f"no file was edited since {listing} was written"))
