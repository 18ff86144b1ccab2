"""Eyes, brows, nostrils and mouth, painted on the finished skin in head coordinates."""

from __future__ import annotations

import numpy as np

from srledger.data._face_canvas import Canvas, bell, noise, ramp
from srledger.data._face_people import Identity, Look

INK = np.array([0.012, 0.008, 0.007], np.float32)


def paint_features(canvas: Canvas, who: Identity, look: Look) -> None:
    """All features, back to front."""
    for side in (-1.0, 1.0):
        _paint_eye(canvas, who, look, side)
        _paint_brow(canvas, who, look, side)
    _paint_nostrils(canvas, who)
    _paint_mouth(canvas, who, look)


def _paint_eye(canvas: Canvas, who: Identity, look: Look, side: float) -> None:
    part, _ = canvas.window((np.abs(canvas.u - side * 0.5) < 0.42) & (np.abs(canvas.v) < 0.3))
    x = (part.u - side * 0.5) * side  # outward from the nose
    y = part.v + who.eye_tilt * x * 0.8
    t = np.clip(x / who.eye_width, -1, 1)
    opening = who.eye_open * (1 - look.squint)
    upper = -opening * (1 - t * t) ** 0.62 * (1 - 0.16 * t)
    lower = 0.72 * who.eye_open * (1 - 0.35 * look.squint) * (1 - t * t) ** 0.8 * (1 + 0.22 * t)
    outward = np.abs(x) - who.eye_width
    beyond = np.maximum(outward, 0)
    inside = part.edge(np.maximum(np.maximum(upper - y, y - lower), outward))

    white = 0.78 - 0.22 * t * t - 0.2 * ramp(-0.4, 0.9, -y / who.eye_open)
    vein = 1 - 0.08 * np.abs(noise(x, y, 14, who.texture + 20)) * np.abs(t)
    sclera = white * np.array([1.0, 0.93, 0.9], np.float32)[:, None, None] * np.stack([white * 0 + 1, vein, vein])
    exposure = look.ambient + 0.62 * look.strength
    part.lay(sclera * exposure, inside)
    part.lay(
        np.array([0.5, 0.2, 0.17]) * exposure, inside * bell(x + who.eye_width * 0.93, y - 0.015, 0.035, 0.04) * 0.8
    )

    gx, gy = x - look.gaze[0] * side, y - look.gaze[1] + 0.012
    r, angle = np.hypot(gx, gy), np.arctan2(gy, gx)
    radius = 0.108
    spokes = 1 + 0.3 * noise(angle * 1.6, r * 2, 3.5, who.texture + 21)
    depth = ramp(0.02, radius, r)
    iris = who.iris[:, None, None] * (spokes * (1.5 - 0.75 * depth**2) * (0.75 + 0.7 * ramp(-radius, radius, gy)))
    part.lay(iris * exposure, inside * part.edge(r - radius))
    part.lay(INK, inside * 0.65 * np.exp(-(((r - radius) / 0.014) ** 2)))
    part.lay(INK, inside * part.edge(r - 0.043))
    part.tint((0.5, 0.48, 0.5), inside * ramp(0.06, 0.0, y - upper))

    lx, ly = side * 0.045 * np.sign(look.light[0]), -0.04
    part.lay(np.full(3, 0.95 * look.strength), inside * part.edge(np.hypot(gx - lx, (gy - ly) * 1.15) - 0.024))
    part.lay(np.full(3, 0.4), inside * 0.6 * part.edge(np.hypot(gx + lx, gy - 0.05) - 0.015))

    lashes = 0.4 + 0.6 * ramp(-0.6, 0.7, noise(x + 0.5 * (y - upper), 0 * y, 26, who.texture + 22))
    reach = (0.03 + 0.045 * ramp(-0.5, 1, t)) * (1.1 - 0.5 * who.age)
    fringe = ramp(reach * 1.6, 0, upper - y) * (y < upper) * lashes * (beyond < 0.03)
    part.lay(INK, np.clip(0.85 * part.edge(np.abs(y - upper) - 0.016 + beyond), 0, 1))
    part.lay(INK, 0.8 * fringe)
    part.lay(INK, 0.3 * part.edge(np.abs(y - lower) - 0.008 + beyond) * (0.5 + 0.5 * lashes) * ramp(-0.9, 0.6, t))
    part.lay(
        np.array([0.75, 0.5, 0.44]) * who.skin * 1.5,
        0.35 * np.exp(-(((y - lower - 0.02) / 0.014) ** 2)) * (beyond == 0),
    )

    fold_gap = 0.045 + 0.05 * who.eye_fold
    crease = np.exp(-(((y - upper * 0.95 + fold_gap) / 0.017) ** 2)) * ramp(
        who.eye_width + 0.07, who.eye_width - 0.08, np.abs(x)
    )
    part.tint((0.42, 0.34, 0.32), 0.75 * crease)


def _paint_brow(canvas: Canvas, who: Identity, look: Look, side: float) -> None:
    part, _ = canvas.window((np.abs(canvas.u - side * 0.52) < 0.45) & (np.abs(canvas.v + who.brow_height) < 0.25))
    x = (part.u - side * 0.5) * side
    t = np.clip((x + 0.3) / 0.66, 0, 1)
    middle = -who.brow_height - look.brow_raise - who.brow_arch * np.sin(np.pi * np.clip(t, 0, 1) ** 1.3) + 0.05 * t**3
    middle -= 0.045 * (1 - t) ** 2
    middle += 0.04 * max(0.0, -look.smile) * (1 - t)
    y = part.v - middle
    half = who.brow_thick * (0.75 + 0.5 * ramp(0, 0.2, t)) * (1 - 0.8 * ramp(0.5, 1, t))
    lean = x * (1.0 + t) + y * (1.6 - 2.2 * t)
    hairs = 0.62 + 0.3 * noise(lean, y * 0.5, 17, who.texture + 30)
    ends = ramp(-0.34, -0.26, x) * ramp(0.4, 0.3, x)
    cover = np.clip(ramp(1.35, 0.45, np.abs(y) / half) * hairs * 1.15, 0, 0.95) * ends
    colour = who.hair * (0.55 if who.hair.mean() > 0.1 else 0.8)
    if who.hair.mean() > 0.35 and who.age < 0.5:
        colour = who.hair * 0.35
    part.lay(colour * (look.ambient + 0.6 * look.strength), cover * 0.9)


def _paint_nostrils(canvas: Canvas, who: Identity) -> None:
    part, _ = canvas.window((np.abs(canvas.u) < 0.45) & (np.abs(canvas.v - who.nose_length) < 0.25))
    a, y = np.abs(part.u), part.v - who.nose_length
    hole = bell(a - who.nose_width * 0.5, y - 0.075 + 0.12 * (a - who.nose_width * 0.5), who.nose_width * 0.33, 0.034)
    part.lay(who.skin * np.array([0.16, 0.08, 0.07]), 0.85 * np.clip(1.2 * hole, 0, 1))
    wing = np.hypot(a - who.nose_width * 0.78, (y - 0.0) * 0.9)
    rim = np.exp(-(((wing - 0.115) / 0.022) ** 2)) * ramp(-0.02, 0.05, a - who.nose_width * 0.85) * ramp(0.12, 0.02, y)
    part.tint((0.6, 0.48, 0.45), 0.6 * rim)


def _paint_mouth(canvas: Canvas, who: Identity, look: Look) -> None:
    part, _ = canvas.window((np.abs(canvas.u) < 0.75) & (np.abs(canvas.v - who.mouth_v - 0.05) < 0.42))
    half = who.mouth_half * (1 + 0.12 * look.smile)
    t = np.clip(np.abs(part.u) / half, 0, 1)
    y = part.v - who.mouth_v
    corner = -0.07 * look.smile
    middle = corner * t**2 + 0.018 * (1 - t) * np.cos(3 * np.pi * t * 0.6)
    gap = 0.15 * look.mouth_open * (1 - t**2) ** 0.7
    stretch = 1 - 0.25 * max(0.0, look.smile)
    top_edge = middle - who.lip_upper * stretch * (1 - t**1.7) * (
        1 - 0.3 * np.exp(-((t / 0.13) ** 2)) + 0.12 * np.exp(-(((t - 0.25) / 0.15) ** 2))
    )
    upper_low, lower_top = middle - 0.12 * gap, middle + 0.88 * gap
    bottom = lower_top + who.lip_lower * stretch * (1 - t**2.4)
    outward = np.abs(part.u) - half
    beyond = np.maximum(outward, 0)
    lips = part.edge(np.maximum(np.maximum(top_edge - y, y - bottom), outward))

    red = who.skin * (1 - who.lip_red * np.array([0.08, 0.48, 0.42])) * np.array([0.86, 0.66, 0.66])
    wrinkle = 1 + 0.13 * noise(part.u, y * 0.25, 13, who.texture + 40)
    lower_lip = y > lower_top
    fullness = np.clip((y - lower_top) / np.maximum(bottom - lower_top, 0.01), 0, 1)
    shade = np.where(
        lower_lip, 1.22 - 0.5 * np.abs(fullness - 0.35), 0.78 + 0.1 * ramp(0, who.lip_upper, upper_low - y)
    )
    side_light = 1 + 0.18 * np.clip(part.u / half, -1, 1) * float(look.light[0])
    exposure = look.ambient + 0.55 * look.strength
    part.lay(red[:, None, None] * look.warmth[:, None, None] * (shade * wrinkle * side_light * exposure), 0.85 * lips)
    wet = bell(part.u + 0.12 * float(look.light[0]), y - lower_top - 0.45 * who.lip_lower, 0.17, 0.022)
    part.glow(0.16 * look.strength * wet * lips * (0.7 + 0.3 * noise(part.u, y, 16, who.texture + 41)))

    hollow = part.edge(np.maximum(np.maximum(upper_low - y, y - lower_top), outward)) * ramp(0.012, 0.04, gap)
    part.lay(np.array([0.035, 0.008, 0.008]), hollow)
    teeth_low = upper_low + np.minimum(0.115, 0.8 * gap)
    seams = 1 - 0.3 * np.exp(-((np.sin(np.pi * (part.u / (0.085 - 0.02 * t))) / 0.2) ** 2)) * ramp(
        0.004, 0.02, np.abs(part.u) + 0.01
    )
    enamel = (0.72 * seams * (1 - 0.75 * t**2) * (0.75 + 0.25 * ramp(upper_low.min(), upper_low.min() + 0.08, y)))[None]
    part.lay(
        enamel * np.array([1, 0.95, 0.86])[:, None, None] * (0.25 + 0.8 * exposure),
        0.95 * hollow * part.edge(y - teeth_low),
    )
    line = np.exp(-(((y - middle) / (0.012 + 0.004 * look.smile)) ** 2)) * (beyond < 0.02) * ramp(0.05, 0.0, gap)
    part.lay(red * np.array([0.25, 0.15, 0.15]), 0.85 * line)
    part.tint((0.55, 0.45, 0.42), 0.7 * bell(np.abs(part.u) - half - 0.01, y - corner, 0.035, 0.03))
