"""Sheets of pictures: panels of one size in lines and columns, with names; nothing is drawn by taste."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np

from srledger.reporting.pictures import enlarge

PANEL_PX, GAP_PX, LABEL_PX = 128, 4, 16
INK = (36, 41, 47)


def draw_sheet_of_panels(
    head: Sequence[str], lines: Sequence[tuple[str, Sequence[np.ndarray]]], panel_px: int = PANEL_PX
) -> bytes:
    """PNG bytes: ``head`` over the columns, then a line of uint8 ``H x W x 3`` panels each, its name at the left.

    Panels are enlarged by whole numbers (or reduced) until their longer side nears ``panel_px``.
    """
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(11)
    column = max([panel_px, *(int(font.getlength(name)) + 2 for name in head)]) + GAP_PX
    left = max(int(font.getlength(name)) + GAP_PX if name else 0 for name, _ in lines)
    size = (left + len(head) * column + GAP_PX, LABEL_PX + len(lines) * (panel_px + GAP_PX) + GAP_PX)
    canvas = Image.new("RGB", size, (255, 255, 255))
    draw = ImageDraw.Draw(canvas)
    for k, name in enumerate(head):
        draw.text((left + GAP_PX + k * column, 2), name, fill=INK, font=font)
    for number, (name, panels) in enumerate(lines):
        top = LABEL_PX + GAP_PX + number * (panel_px + GAP_PX)
        draw.text((GAP_PX, top + 2), name, fill=INK, font=font)
        for k, panel in enumerate(panels):
            side = max(panel.shape[:2])
            whole = Image.fromarray(enlarge(panel, max(1, panel_px // side))).reduce(max(1, math.ceil(side / panel_px)))
            canvas.paste(whole, (left + GAP_PX + k * column, top))
    out = io.BytesIO()
    canvas.save(out, format="PNG")
    return out.getvalue()
