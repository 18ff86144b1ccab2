"""Faces as a cartoon draws them: flat colours, one step of shade, dark outlines, large eyes; no noise and no texture.

People, poses, camera and landmarks are those of the shaded faces: an eye stands about its landmark, a mouth between its
own.
"""

from __future__ import annotations

import numpy as np

from srledger.data._face_canvas import Canvas, lit, normals, ramp
from srledger.data._face_geometry import inside_head
from srledger.data._face_hair import fall, hair_distance, hairline
from srledger.data._face_people import Identity, Look, linear
from srledger.data._face_scene import neckline
from srledger.data._face_skin import beard_region

INK, WHITE, TONGUE = linear((36, 24, 32)), linear((250, 250, 246)), linear((232, 106, 112))
MOUTH, BLUSH = linear((112, 26, 38)), np.array([1.0, 0.72, 0.7])
DYES = [linear(colour) for colour in ((84, 130, 214), (222, 96, 148), (88, 176, 132), (150, 104, 200))]
DYED = 3  # every third head of hair has a colour that no photograph shows
LINE = 0.032  # half the width of an outline, IOD
EYE_WIDE, EYE_HIGH = 0.33, 0.34  # half axes; a face's own eyes are about 0.23 by 0.1
SHADE = 0.66  # of a colour that is turned away from the light
VIVID = 1.3  # how far colours are drawn from grey


def paint_cartoon(canvas: Canvas, who: Identity, look: Look) -> None:
    """Everything, back to front."""
    hair = vivid(DYES[who.texture % len(DYES)] if who.texture % DYED == 0 else who.hair * 1.25)
    skin = vivid(who.skin)
    _backdrop(canvas, look)
    if who.hair_style != "bald":
        x = canvas.x + 0.3 * np.sin(look.yaw)
        _fill(canvas, hair_distance(who, x, canvas.y) + _locks(who, x, canvas.y), SHADE * hair)
    _body(canvas, who, look, skin)
    _head(canvas, who, look, skin)
    if who.beard or who.moustache:
        _beard(canvas, who, hair)
    for side in (-1.0, 1.0):
        _eye(canvas, who, look, side)
        _brow(canvas, who, look, side, hair)
    _nose(canvas, who, look)
    _mouth(canvas, who, look, skin)
    if who.hair_style != "bald":
        _fringe(canvas, who, look, hair)
    if who.glasses != "none" and look.wears_glasses:
        _glasses(canvas, who)


def vivid(colour: np.ndarray) -> np.ndarray:
    """A colour in linear light, farther from grey."""
    grey = colour.mean()
    return np.clip(grey + VIVID * (colour - grey), 0.01, 0.95).astype(np.float32)


def _fill(canvas: Canvas, distance: np.ndarray, colour: np.ndarray, line: float | np.ndarray = LINE) -> None:
    """A shape of one colour with an outline, from its signed distance in IOD (negative inside)."""
    canvas.lay(colour, canvas.edge(distance))
    canvas.lay(INK, canvas.edge(np.abs(distance) - line))


def _ellipse(x: np.ndarray, y: np.ndarray, half_x: float, half_y: float, power: float = 2.0) -> np.ndarray:
    """Signed distance (about) to an ellipse around (0, 0)."""
    radius = (np.abs(x / half_x) ** power + np.abs(y / half_y) ** power) ** (1 / power)
    return (radius - 1) * min(half_x, half_y)


def _stroke(x: np.ndarray, y: np.ndarray, start: tuple[float, float], end: tuple[float, float]) -> np.ndarray:
    """Distance to the line from ``start`` to ``end``."""
    (x0, y0), (x1, y1) = start, end
    along = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / ((x1 - x0) ** 2 + (y1 - y0) ** 2)
    along = np.clip(along, 0, 1)
    return np.hypot(x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0))


def _backdrop(canvas: Canvas, look: Look) -> None:
    """One flat colour; of some kinds with dots, stripes or a horizon in another."""
    first, second = (vivid(0.25 + 0.6 * colour) for colour in look.backdrop)
    canvas.light[:] = first[:, None, None]
    x, y = canvas.x, canvas.y
    if look.backdrop_kind == "bokeh":
        canvas.lay(second, canvas.edge(np.hypot((x + 0.2) % 0.8 - 0.4, (y + 0.1) % 0.8 - 0.4) - 0.2))
    elif look.backdrop_kind == "blinds":
        canvas.lay(second, canvas.edge(np.abs((x + y) % 0.9 - 0.45) - 0.2))
    elif look.backdrop_kind == "wall":
        canvas.lay(second, canvas.edge(0.6 - y))


def _body(canvas: Canvas, who: Identity, look: Look, skin: np.ndarray) -> None:
    """Neck, clothes and ears."""
    x = canvas.x + 0.25 * np.sin(look.yaw)
    neck = np.maximum(np.abs(x) - 0.62 - 0.35 * ramp(1.9, 2.6, canvas.y) ** 2, 0.8 - canvas.y)
    _fill(canvas, neck, SHADE * skin)
    x = canvas.x + 0.2 * np.sin(look.yaw)
    cloth, above = vivid(0.1 + 0.8 * look.cloth), neckline(x) - canvas.y
    canvas.lay(cloth, canvas.edge(above))
    if look.cloth_kind == "stripes":
        canvas.lay(WHITE, canvas.edge(above) * canvas.edge(np.abs((canvas.y + 0.12 * x * x) % 0.3 - 0.15) - 0.06))
    elif look.cloth_kind == "collar":
        flap = np.maximum(np.abs(canvas.y - 2.02 - 0.75 * np.abs(x)) - 0.13, np.abs(x) - 0.95)
        _fill(canvas, np.maximum(flap, above), WHITE)
    canvas.lay(INK, canvas.edge(np.abs(above) - LINE))
    for side in (-1.0, 1.0) if who.hair_style not in ("long", "bangs") else ():
        x = (canvas.x + 0.1 * np.sin(look.yaw)) * side - who.cheek * 1.03 * np.cos(look.yaw)
        _fill(canvas, _ellipse(x, canvas.y - 0.2 - 0.1 * look.pitch, 0.17, 0.32), skin)


def _head(canvas: Canvas, who: Identity, look: Look, skin: np.ndarray) -> None:
    """The head in two tones, cheeks and moles."""
    inside = inside_head(who, canvas.u, canvas.v)
    dy, dx = np.gradient(inside, np.float32(canvas.px))
    distance = -inside / np.sqrt(dx * dx + dy * dy + 0.05)
    cover = canvas.edge(distance)
    canvas.lay(skin, cover)
    away = ramp(0.4, 0.34, lit(normals(canvas.z, canvas.px), look.light, 0.0))
    canvas.lay(SHADE * skin, cover * away)
    across, u, v = np.abs(canvas.u), canvas.u, canvas.v
    canvas.tint(tuple(BLUSH), cover * canvas.edge(_ellipse(across - 0.66, v - 0.5, 0.2, 0.13)))
    for mark_u, mark_v, size in who.marks:
        canvas.lay(INK, cover * canvas.edge(np.hypot(u - mark_u, v - mark_v) - 1.5 * size))
    canvas.lay(INK, canvas.edge(np.abs(distance) - LINE))


def _beard(canvas: Canvas, who: Identity, hair: np.ndarray) -> None:
    u, v = canvas.u, canvas.v
    inside = canvas.edge(-inside_head(who, u, v))
    if who.beard:
        grown = (0.5 - beard_region(who, u, v)) * 0.2
        canvas.lay(hair, inside * canvas.edge(np.maximum(grown, 0.6 - v)))
        canvas.lay(INK, inside * canvas.edge(np.abs(grown) - 0.6 * LINE) * (v > 0.6))
    if who.moustache:
        middle = 0.5 * (who.nose_length + 0.12 + who.mouth_v - who.lip_upper)
        half = who.mouth_half * 0.55
        _fill(canvas, _ellipse(np.abs(u) - half, v - middle - 0.15 * np.abs(u), half, 0.07), hair, 0.6 * LINE)


def _eye(canvas: Canvas, who: Identity, look: Look, side: float) -> None:
    """White, iris in two tones, pupil and two highlights about the landmark; a heavy upper lid."""
    x, y = (canvas.u - side * 0.5) * side, canvas.v
    high = EYE_HIGH * (0.8 + 2 * (who.eye_open - 0.088)) * (1 - 0.8 * max(0.0, look.squint))
    lid = _ellipse(x, y + 0.5 * who.eye_tilt * x, EYE_WIDE, high, 2.4)
    inside = canvas.edge(lid)
    canvas.lay(WHITE, inside)
    x, y = x - 1.5 * look.gaze[0] * side, y - 1.5 * look.gaze[1]
    ring, iris = _ellipse(x, y, 0.2, 0.24), vivid(who.iris * 2)
    canvas.lay(iris, inside * canvas.edge(ring))
    canvas.lay(0.4 * iris, inside * canvas.edge(np.maximum(ring, y + 0.03)))
    canvas.lay(INK, inside * canvas.edge(np.abs(ring) - 0.8 * LINE))
    canvas.lay(INK, inside * canvas.edge(_ellipse(x, y, 0.1, 0.13)))
    towards = side * float(np.sign(look.light[0]) or 1.0)
    canvas.lay(WHITE, inside * canvas.edge(np.hypot(x - 0.08 * towards, y + 0.1) - 0.065))
    canvas.lay(WHITE, inside * canvas.edge(np.hypot(x + 0.08 * towards, y - 0.1) - 0.035))
    canvas.lay(INK, canvas.edge(np.abs(lid) - np.where(canvas.v < 0, 1.9 * LINE, 0.7 * LINE)))


def _brow(canvas: Canvas, who: Identity, look: Look, side: float, hair: np.ndarray) -> None:
    x = (canvas.u - side * 0.5) * side
    t = np.clip((x + 0.3) / 0.62, 0, 1)
    middle = -0.22 - who.brow_height - look.brow_raise - 1.5 * who.brow_arch * np.sin(np.pi * t)
    middle += 0.06 * max(0.0, -look.smile) * (1 - t)
    ends = np.abs(x - 0.01) - 0.31
    canvas.lay(0.5 * hair, canvas.edge(np.maximum(np.abs(canvas.v - middle) - 1.2 * who.brow_thick, ends)))


def _nose(canvas: Canvas, who: Identity, look: Look) -> None:
    """A hook on the side that is turned away from the light, down to the landmark."""
    away = -float(np.sign(look.light[0]) or 1.0)
    tip, wing = (0.0, who.nose_length + 0.02), (away * who.nose_width * 0.7, who.nose_length - 0.02)
    bridge = (away * 0.09, who.nose_length - 0.22)
    for start, end in ((bridge, wing), (wing, tip)):
        canvas.lay(INK, canvas.edge(_stroke(canvas.u, canvas.v, start, end) - 0.8 * LINE))


def _mouth(canvas: Canvas, who: Identity, look: Look, skin: np.ndarray) -> None:
    """A curve between the two landmarks; open it shows teeth and tongue."""
    half = who.mouth_half * (1 + 0.12 * look.smile)
    t = np.clip(np.abs(canvas.u) / half, 0, 1)
    top = who.mouth_v - 0.07 * look.smile + (0.07 + 0.05 * max(0.0, look.smile)) * look.smile * (1 - t * t)
    gap = max(0.0, 0.42 * look.mouth_open - 0.06)
    bottom = top + gap * (1 - t * t) ** 0.6
    y, outward = canvas.v, np.abs(canvas.u) - half
    if gap:
        hollow = np.maximum(np.maximum(top - y, y - bottom), outward)
        inside = canvas.edge(hollow)
        canvas.lay(MOUTH, inside)
        canvas.lay(
            TONGUE, inside * canvas.edge(_ellipse(canvas.u, y - who.mouth_v - 1.05 * gap, 0.6 * half, 0.45 * gap))
        )
        canvas.lay(WHITE, inside * canvas.edge(y - top - 0.28 * gap))
    for edge in (top, bottom) if gap else (top,):
        canvas.lay(INK, canvas.edge(np.maximum(np.abs(y - edge) - LINE, outward)))
    if who.lip_red > 0.5:
        lip = np.maximum(np.abs(y - bottom - 0.09) - 0.025, np.abs(canvas.u) - 0.4 * half)
        canvas.lay(skin * np.array([0.9, 0.35, 0.4], np.float32), canvas.edge(lip))


def _locks(who: Identity, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What a hair's outline lies farther in than its dome, IOD: locks, or curls."""
    angle = np.arctan2(x, 0.4 - y)
    if who.hair_style == "curly":
        return 0.12 * np.abs(np.sin(5 * angle)) - 0.14
    return 0.05 * np.abs(np.sin(4 * angle + who.texture % 7)) - 0.02


def _fringe(canvas: Canvas, who: Identity, look: Look, hair: np.ndarray) -> None:
    """Hair over forehead and temples, its edge in points, with a band of sheen."""
    u, v = canvas.u, canvas.v
    points = 0.16 * np.abs(((2.1 * (u - who.hair_part)) % 1) - 0.5)
    below = fall(who, u, v, v - hairline(who, u) - 0.08 + points)
    x = canvas.x + 0.15 * np.sin(look.yaw)
    distance = np.maximum(0.8 * below, hair_distance(who, x, canvas.y) + _locks(who, x, canvas.y))
    _fill(canvas, distance, hair)
    band = np.abs(v + 1.16 + 0.18 * u * u - 0.4 * points) - 0.07
    lighter = np.clip(1.9 * hair + 0.06, 0, 0.95)
    canvas.lay(lighter, canvas.edge(np.maximum(np.maximum(band, distance + 2 * LINE), np.abs(u) - 0.75)))


def _glasses(canvas: Canvas, who: Identity) -> None:
    across, y = np.abs(canvas.u), canvas.v - 0.02
    x = across - 0.51
    rim = np.hypot(x, y) - 0.43 if who.glasses == "round" else _ellipse(x, y, 0.42, 0.37, 6.0)
    bridge = np.maximum(np.abs(y + 0.08) - LINE, across - 0.1)
    temple = np.maximum(np.abs(y + 0.1) - LINE, np.maximum(0.92 - across, across - 1.15))
    frame = vivid(0.1 + 0.5 * who.hair) if who.texture % 2 else INK
    canvas.lay(frame, canvas.edge(np.minimum(np.minimum(np.abs(rim) - 1.4 * LINE, bridge), temple)))
