"""`srledger add-dataset`: look at a folder, show what would be written to params.yaml, ask, write."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from PIL import Image
from rich.text import Text

from srledger.add_dataset.contact_sheet import Tile, write_contact_sheet
from srledger.add_dataset.dialog import ask_licence, confirm, open_console, show_diff
from srledger.add_dataset.facts import facts
from srledger.add_dataset.params_edit import check_params, edit, read_text, replace_params
from srledger.add_dataset.place import Place, check_folder, find_place
from srledger.add_dataset.proposal import Proposal, Wishes, free_name, propose, source_config
from srledger.add_dataset.survey import Seen, survey_folder
from srledger.add_dataset.update import write_listing
from srledger.config import Params
from srledger.data import SPLITS, SourceImage
from srledger.data.folder import Folder
from srledger.errors import SrledgerError
from srledger.progress import Progress

TILES_A_SPLIT, TILE_PX = 16, 128
DARK_BELOW = 256 // 8  # of the high byte


def add_dataset(root: Path, folder: Path, wishes: Wishes, *, dry_run: bool, sure: bool) -> None:
    """Add the images of ``folder`` to ``root``/params.yaml, after showing them and asking.

    Args:
        dry_run: show everything, write nothing but the contact sheet.
        sure: don't ask.

    Raises:
        SrledgerError: whatever is wrong with the folder, the wishes or params.yaml, before anything is written.
    """
    params = Params.load(root)
    before, text = read_text(root / "params.yaml")
    folder = check_folder(folder, root)
    free_name(params, folder, wishes.name)  # said before a long look at the folder
    wishes = dataclasses.replace(wishes, licence=wishes.licence.strip() or ask_licence())
    survey = survey_folder(folder)
    place = find_place(survey)
    proposal = propose(params, survey, place, wishes)
    new = edit(text, proposal.changes)
    check_params(new, proposal.scales)
    counts, tiles = try_out(proposal, place)
    console = open_console()
    console.print(facts(survey, place, proposal, counts))
    images = place.images(survey)
    notes = (*place.notes, *small_note(images, proposal), *dark_note(images), *silent_note(params, proposal))
    for note in notes:
        console.print(Text(f"note: {note}", "yellow"))
    show_diff(console, text, new)
    sheet = write_contact_sheet(root / "scratch" / "contact_sheets" / f"{proposal.name}.png", tiles, tile_px=TILE_PX)
    console.print(Text(f"look at the images: {sheet}"))
    if dry_run:
        console.print(Text("dry run: params.yaml is as it was"))
        return
    confirm(sure)
    replace_params(root / "params.yaml", before, new)
    write_listing(root, proposal.name, place.path, proposal.digests)
    console.print(Text(f"params.yaml: dataset {proposal.name}, task {proposal.task}", "green"))
    console.print(Text(f"next: {next_command(params, proposal)}"))


class Sampler:
    """Some pictures out of a stream of unknown length, evenly spread: of a full hand every second one is dropped."""

    def __init__(self) -> None:
        self.tiles: list[Tile] = []
        self.count, self._step = 0, 1

    def offer(self, image: SourceImage) -> None:
        """Look at the next picture."""
        if self.count % self._step == 0:
            height_px, width_px = image.pixels.shape[:2]
            picture = Image.fromarray(image.pixels)
            picture.thumbnail((TILE_PX, TILE_PX), Image.Resampling.LANCZOS)
            self.tiles.append(Tile(np.array(picture), f"{image.split}: {image.id} {width_px}x{height_px}"))
        if len(self.tiles) > TILES_A_SPLIT:
            self.tiles, self._step = self.tiles[::2], self._step * 2
        self.count += 1


def try_out(proposal: Proposal, place: Place) -> tuple[dict[str, int], list[Tile]]:
    """Read the images as the stages will: counts by split, and some pictures of each.

    Raises:
        SrledgerError: what the download stage would say, but with what helps while there is no entry to edit.
    """
    samplers = {split: Sampler() for split in SPLITS}
    source = Folder(source_config(proposal.config))
    try:
        with Progress(f"read {proposal.name} as its entry says", len(proposal.digests)) as progress:
            for done, image in enumerate(source.images(), start=1):
                samplers[image.split].offer(image)
                progress.advance(done)
    except SrledgerError as error:
        mend = "replace these files, or take them out of the folder"
        if not source.left_out:
            mend = "run the command again when nobody writes to the folder"
        if place.landmarks_csv and any(place.landmarks_csv in reason for _, reason in source.left_out):
            table = place.path / place.landmarks_csv
            mend = f"correct or complete the rows of {table}, or take that file away to go on without landmarks"
        raise SrledgerError(error.problem, **{**error.facts, "mend": mend}) from error
    counts = {split: sampler.count for split, sampler in samplers.items()}
    return counts, [tile for sampler in samplers.values() for tile in sampler.tiles]


def small_note(images: list[Seen], proposal: Proposal) -> list[str]:
    """Where a few small images decide the size of all."""
    if proposal.hr_size_px is None:
        return []
    median = sorted(min(seen.width_px, seen.height_px) for seen in images)[len(images) // 2]
    if median < 2 * proposal.hr_size_px:
        return []
    return [
        f"half of the images have {median} px or more and are reduced to {proposal.hr_size_px}; "
        "--hr-size-px N leaves smaller images out"
    ]


def dark_note(images: list[Seen]) -> list[str]:
    """Where images with 16 bits a channel use a small part of them: of 16 bits the high byte is kept."""
    deep = [seen.greatest for seen in images if seen.greatest is not None]
    greatest = max(deep, default=255)
    if greatest >= DARK_BELOW:
        return []
    stored = greatest * 256 + 255
    return [
        f"no value of the {len(deep)} images with 16 bits a channel is above {stored} of 65535, so {greatest + 1} of "
        f"256 levels are left when they are read; if this is {stored.bit_length()}-bit data, save it multiplied "
        f"by {2 ** (16 - stored.bit_length())} first"
    ]


def silent_note(params: Params, proposal: Proposal) -> list[str]:
    """Why no number will come, where none will."""
    if proposal.transfer is None:
        return ["no number yet: there is no bicubic row with a uniform prior for all tasks; add a row for the task"]
    row = next(change.value["row"] for change in proposal.changes if change.keys == ("transfers",))
    silent = [scale for scale in proposal.scales if not Params(params.file, scale).is_active(row)]
    return [f"{proposal.transfer} does not run at {scale}: row {row} does not" for scale in silent]


def next_command(params: Params, proposal: Proposal) -> str:
    """What to type to get the new number."""
    if proposal.transfer is None:
        return f"add a row with task: {proposal.task}, then dvc repro"
    if params.entries.scale in proposal.scales:
        return f"dvc repro evaluate_transfers@{proposal.transfer}, or dvc repro for the whole report"
    return f"srledger repro --scale {proposal.scales[0]} --only {proposal.transfer}"
