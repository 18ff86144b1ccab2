"""Hair behind and in front of the head, and beards: strands from noise that is drawn out along the hair's flow."""

from __future__ import annotations

import numpy as np

from srledger.data._face_canvas import Canvas, bell, noise, ramp
from srledger.data._face_geometry import inside_head
from srledger.data._face_people import Identity, Look
from srledger.data._face_skin import beard_region

LENGTH = {
    "short": 0.15,
    "side": 0.3,
    "bangs": 1.15,
    "long": 2.6,
    "curly": 0.75,
    "bald": -9.0,
}  # v of the lowest hair at the sides


def _strands(who: Identity, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Brightness of the strand at (u, v), about 1 on average."""
    wave = who.hair_wave * 0.1 * np.sin(5.5 * v + 3 * np.abs(u)) * ramp(-1.2, 0.3, v)
    if who.hair_style == "curly":
        warp_u = u + 0.1 * noise(u, v, 3.0, who.texture + 50)
        warp_v = v + 0.1 * noise(u, v, 3.0, who.texture + 51)
        ring = np.sin(24 * warp_u + 2.5 * noise(warp_u, warp_v, 2.5, who.texture + 52)) * np.sin(21 * warp_v)
        return 0.95 + 0.38 * ring + 0.2 * noise(warp_u, warp_v, 14, who.texture + 53)
    angle = np.arctan2(u - who.hair_part + wave, 0.8 * (v + 2.1))
    along = np.hypot(u - who.hair_part, v + 2.1)
    coarse = noise(angle, along * 0.12, 5, who.texture + 54)
    fine = noise(angle, along * 0.1, 24, who.texture + 55)
    return 1 + 0.2 * coarse + 0.26 * fine


def _hair_light(
    who: Identity, look: Look, u: np.ndarray, v: np.ndarray, strands: np.ndarray, edge: np.ndarray
) -> np.ndarray:
    """Colour ``3 x H x W`` of hair: strands, a band of sheen, darker toward the outline and away from the light."""
    facing = np.clip(0.62 + 0.42 * u * float(look.light[0]) - 0.25 * (v + 0.6) * -float(look.light[1]), 0.2, 1.3)
    base = np.maximum(strands, 0.15) ** 1.4 * (0.45 + 0.55 * edge)
    colour = who.hair[:, None, None] * (base * (look.ambient + look.strength * facing))
    band = np.exp(-(((v + 1.15 + 0.18 * u * u - 0.1 * (strands - 1)) / 0.16) ** 2)) * np.clip(
        0.7 + 0.6 * u * float(look.light[0]), 0, 2
    )
    sheen = (0.012 + 0.3 * who.hair.mean()) * band * np.clip(strands - 0.55, 0, 2) * look.strength
    return (colour + sheen * (0.5 * who.hair[:, None, None] / max(who.hair.max(), 0.05) + 0.4)) * look.warmth[
        :, None, None
    ]


def hair_distance(who: Identity, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Signed distance (about) to the outline of all hair, in IOD."""
    half = who.temple + 0.06 + 0.5 * who.hair_volume
    top = 1.54 + 0.6 * who.hair_volume
    dome = (np.abs(x / half) ** 2.3 + np.abs(np.minimum(y - 0.1, 0) / (top + 0.1)) ** 2.3) ** (1 / 2.3)
    length = LENGTH[who.hair_style]
    widen = (
        1
        + (0.12 * ramp(0.0, 1.6, y) if length > 1 else -0.17 * ramp(-0.6, 0.3, y))
        - 0.2 * ramp(length - 0.6, length + 0.2, y)
    )
    sides = np.abs(x) / (half * widen)
    return np.maximum((np.where(y < 0.1, dome, sides) - 1) * half, (y - length) * 0.8)


def _ragged(who: Identity, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    if who.hair_style == "curly":
        return (
            0.07 * np.sin(9 * np.arctan2(x, -y) + noise(x, y, 2, who.texture + 56))
            - 0.09
            + 0.05 * noise(x, y, 7, who.texture + 57)
        )
    return 0.02 * noise(np.arctan2(x, 5 - y) * 6, 0.15 * y, 7, who.texture + 58)


def paint_back_hair(canvas: Canvas, who: Identity, look: Look) -> None:
    """The hair behind the head."""
    if who.hair_style == "bald":
        return
    x = canvas.x + 0.3 * np.sin(look.yaw)
    distance = hair_distance(who, x, canvas.y) + _ragged(who, x, canvas.y)
    part, at = canvas.window(distance < 0.1)
    strands = _strands(who, x[at], part.y)
    inner = ramp(0.0, -0.3, distance[at])
    part.lay(0.6 * _hair_light(who, look, x[at], part.y, strands, 1 - 0.6 * inner), part.edge(distance[at]))


def hairline(who: Identity, u: np.ndarray) -> np.ndarray:
    """v above which the forehead is covered."""
    a = np.abs(u)
    temple = 1.25 * ramp(0.72, 1.08, a)
    if who.hair_style == "bangs":
        return -0.5 + 0.06 * np.cos(4 * u) + temple
    if who.hair_style in ("side", "long"):
        split = u - who.hair_part
        return who.hair_line - 0.05 + 0.75 * np.minimum(np.abs(split) / 1.1, 1.2) ** 1.6 + 0.7 * temple
    if who.hair_style == "curly":
        return who.hair_line + 0.08 + 0.9 * temple
    return who.hair_line + 0.12 * np.cos(2.4 * u) * who.age + 0.85 * temple


def fall(who: Identity, u: np.ndarray, v: np.ndarray, below: np.ndarray) -> np.ndarray:
    """How far points lie below the edge of the hair over the face, from how far they lie below the hairline."""
    if who.hair_style in ("long", "bangs"):  # curtains beside the cheeks
        curtain = who.cheek * 0.9 - np.abs(u) - 0.12 * who.hair_wave * np.sin(4 * v) * ramp(-0.2, 0.6, v)
        return np.where(
            v > -0.4, np.minimum(below, np.maximum(curtain, -0.9 - 0 * v) + 0.6 * ramp(0.2, -0.6, v)), below
        )
    return np.maximum(below, v - LENGTH[who.hair_style] - 0.05)


def paint_front_hair(canvas: Canvas, who: Identity, look: Look) -> None:
    """Hair that lies over forehead, temples and ears, and its shadow on the skin."""
    if who.hair_style == "bald":
        return
    u, v = canvas.u, canvas.v
    strands = _strands(who, u, v)
    ragged = _ragged(who, u, v)
    below = v - hairline(who, u) - 0.07 * (strands - 1) - ragged
    outside = hair_distance(who, canvas.x + 0.15 * np.sin(look.yaw), canvas.y) + ragged
    below = fall(who, u, v, below)
    shadow = ramp(0.28, -0.02, below) * (outside < 0) * ramp(0.9, 0.4, np.abs(u))
    canvas.tint((0.42, 0.36, 0.34), 0.62 * shadow)
    distance = np.maximum(below * 0.8, outside)
    part, at = canvas.window(distance < 0.1)
    thin = np.clip(0.5 - below[at] / 0.06, 0, 1)
    gaps = np.clip(0.75 + 0.6 * (strands[at] - 0.7), 0, 1)
    cover = thin * np.maximum(gaps, ramp(-0.03, -0.16, below[at])) * part.edge(distance[at] - 0.02)
    edge = ramp(0.0, -0.18, outside[at])
    part.lay(_hair_light(who, look, part.u, part.v, strands[at], edge), cover)


def paint_beard(canvas: Canvas, who: Identity, look: Look) -> None:
    """Full beard and moustache, hair by hair."""
    if not who.beard and not who.moustache:
        return
    part, _ = canvas.window((canvas.v > 0.1) & (np.abs(canvas.u) < 1.25) & (canvas.v < who.chin + 0.2))
    u, v = part.u, part.v
    hairs = (
        0.8
        + 0.3 * noise(u + 0.25 * np.sign(u) * v, v * 0.3, 20, who.texture + 60)
        + 0.12 * noise(u, v, 6, who.texture + 61)
    )
    below_nose = 0.5 * (who.nose_length + 0.12 + who.mouth_v - who.lip_upper)
    jaw = (
        beard_region(who, u, v)
        * ramp(0.55, 0.75, v + 0.25 * ramp(0.7, 1.1, np.abs(u)))
        * (1 - bell(u, v - below_nose, 0.4, 0.13))
    )
    lip = 1.3 * bell(u, v - below_nose - 0.12 * np.abs(u), who.mouth_half * 0.9, 0.075)
    cover = np.clip(np.maximum(who.beard * jaw, who.moustache * lip), 0, 1)
    inside = ramp(-0.16, -0.02, inside_head(who, u, v - 0.06))
    colour = who.hair[:, None, None] * (
        np.maximum(hairs, 0.2) * (look.ambient + 0.55 * look.strength * (1 + 0.4 * u * float(look.light[0])))
    )
    part.lay(colour, np.clip(cover * (0.6 + 0.5 * hairs), 0, 0.96) * inside)
