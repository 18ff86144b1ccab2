"""What was found in a folder of images and what will be made of it, as a table for the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from rich.table import Table
from rich.text import Text

from srledger.add_dataset.place import Place
from srledger.add_dataset.proposal import Proposal
from srledger.add_dataset.survey import Seen, Survey
from srledger.data import SPLITS

NAMED_AT_MOST = 5


def facts(survey: Survey, place: Place, proposal: Proposal, counts: Mapping[str, int]) -> Table:
    """What was found, and what will be made of it."""
    images = place.images(survey)
    table = Table(show_header=False, title=f"{survey.folder}", title_justify="left", title_style="bold")
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")

    def row(name: str, value: object) -> None:
        table.add_row(name, Text(str(value)))

    size_mb = sum(seen.size_bytes for seen in images) / 1e6
    row("images", f"{len(images)} ({tally(seen.suffix or 'no suffix' for seen in images)}), {size_mb:.1f} MB")
    row("in", tally((f"{seen.folder}/" for seen in images), limit=NAMED_AT_MOST))
    row("sizes", sizes(images))
    row("colours", tally(seen.mode for seen in images))
    if place.identity_folders:
        row("people", f"{len({seen.folder for seen in images})} subfolders, one for each")
    if place.landmarks_csv:
        row("landmarks", place.landmarks_csv)
    if place.lr_folder:
        row("LR", f"{place.lr_folder}, {place.lr_factor} times smaller")
    broken = place.broken(survey)
    if broken:
        row("not readable", listed((f"{seen.name}: {seen.problem}" for seen in broken), len(broken)))
    if survey.others:
        row("other files", listed(map(other, survey.others), len(survey.others)))
    copies = Counter(seen.content for seen in images)
    twice = sum(count - 1 for count in copies.values())
    if twice:
        row("copies", f"{twice} with the same pixels as another image")
    if proposal.left_out:
        row("left out", listed((f"{name}: {why}" for name, why in proposal.left_out.items()), len(proposal.left_out)))
    table.add_section()
    row("dataset", f"{proposal.name}: " + ", ".join(f"{split} {counts[split]}" for split in SPLITS))
    how = "subfolders" if place.splits else "drawn by person or name, each by itself: shares are kept on average"
    row("splits", how)
    size = f"{proposal.hr_size_px} x {proposal.hr_size_px} px" if proposal.hr_size_px else "as they are"
    row("task", f"{proposal.task}: {proposal.degradation}, HR {size}, LR {proposal.scale_factor} times smaller")
    row("scales", ", ".join(proposal.scales))
    published = "" if proposal.config["redistributable"] else "; pictures stay out of committed reports"
    row("licence", proposal.config["licence"] + published)
    return table


def other(file: Seen) -> str:
    """A file that is no image, and why it was not even read, where it was not."""
    return file.name if file.sha256 else f"{file.name}: {file.problem}"


def sizes(images: list[Seen]) -> str:
    """Smallest, median and largest image, and how many are square."""
    by_area = sorted(images, key=lambda seen: (seen.width_px * seen.height_px, seen.width_px, seen.name))
    shown = [f"{seen.width_px}x{seen.height_px}" for seen in (by_area[0], by_area[len(by_area) // 2], by_area[-1])]
    square = sum(seen.width_px == seen.height_px for seen in images)
    which = {len(images): "all square", 0: "none square"}.get(square, f"{square} of {len(images)} square")
    if len(set(shown)) == 1:
        return f"{shown[0]} px, all of one size"
    return f"{' / '.join(shown)} px (min / median / max), {which}"


def tally(values: Iterable[str], limit: int = 20) -> str:
    """``RGB 100, L 20``, the most frequent first."""
    counts = sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))
    more = f", ... and {len(counts) - limit} more" if len(counts) > limit else ""
    return ", ".join(f"{value} {count}" for value, count in counts[:limit]) + more


def listed(lines: Iterable[str], count: int) -> str:
    """The first lines, and how many more there are."""
    shown = [line for line, _ in zip(lines, range(NAMED_AT_MOST), strict=False)]
    return "\n".join([*shown, *([f"... and {count - NAMED_AT_MOST} more"] if count > NAMED_AT_MOST else [])])
