"""What stands around the head: background, clothes, glasses."""

from __future__ import annotations

import numpy as np

from srledger.data._face_canvas import Canvas, bell, noise, ramp
from srledger.data._face_people import Identity, Look
from srledger.seeds import numpy_generator


def paint_backdrop(canvas: Canvas, look: Look) -> None:
    """Fills the canvas: a gradient, lights out of focus, a rough wall, or blinds."""
    x, y = canvas.x, canvas.y
    rng = numpy_generator("synthetic_faces", "backdrop", look.texture)
    tilt = rng.uniform(-0.25, 0.25, 2)
    mix = np.clip(0.5 + tilt[0] * x + tilt[1] * y + 0.1 * noise(x, y, 0.4, look.texture), 0, 1)
    canvas.light[:] = look.backdrop[0][:, None, None] * (1 - mix) + look.backdrop[1][:, None, None] * mix
    if look.backdrop_kind == "bokeh":
        for _ in range(14):
            cx, cy, r, brightness = rng.uniform([-2.2, -2, 0.12, 0.2], [2.2, 2.4, 0.5, 1.6])
            colour = look.backdrop[int(rng.integers(2))] * brightness + rng.uniform(0, 0.12, 3)
            part, _ = canvas.window((np.abs(x - cx) < r * 1.1) & (np.abs(y - cy) < r * 1.1))
            part.lay(colour, 0.6 * ramp(r, r * 0.86, np.hypot(part.x - cx, part.y - cy)))
    elif look.backdrop_kind == "wall":
        rough = 0.09 * noise(x, y, 5, look.texture + 1) + 0.06 * noise(x, y, 17, look.texture + 2)
        joints = ramp(0.97, 1.0, np.abs(np.sin(2.2 * y + 0.4))) if rng.random() < 0.5 else 0 * x
        canvas.light *= (1 + rough) * (1 - 0.35 * joints)
    elif look.backdrop_kind == "blinds":
        angle, period = rng.uniform(-1.6, 1.6), rng.uniform(3, 8)
        wave = np.sin(period * (np.cos(angle) * x + np.sin(angle) * y))
        canvas.light *= 1 + 0.22 * ramp(-0.4, 0.4, wave) + 0.03 * noise(x, y, 12, look.texture + 3)
    else:
        canvas.light *= 1 + 0.02 * noise(x, y, 9, look.texture + 4)


def neckline(x: np.ndarray) -> np.ndarray:
    """v from which there is cloth, at each x."""
    a = np.abs(x)
    return 2.02 + 0.28 * ramp(0.75, 0.0, a) - 0.28 * ramp(0.5, 0.95, a) + 0.4 * np.maximum(a - 0.95, 0) * 0.75


def paint_clothes(canvas: Canvas, who: Identity, look: Look) -> None:
    """Shoulders in cloth: plain, striped, knitted, or a shirt with a collar."""
    x = canvas.x + 0.2 * np.sin(look.yaw)
    a = np.abs(x)
    distance = neckline(x) - canvas.y
    part, at = canvas.window(distance < 0.1)
    x, a, y, d = x[at], a[at], part.y, distance[at]
    weave = 0.1 * noise(x, y, 26, look.texture + 10) + 0.07 * np.sin(95 * x) * np.sin(95 * y)
    crease = 0.2 * noise(x * 0.8 + 0.4 * y, y * 0.5, 1.6, look.texture + 11)
    colour = look.cloth[:, None, None] * (1 + weave + crease)
    if look.cloth_kind == "stripes":
        colour = np.where(np.sin(26 * (y + 0.12 * x * x)) > 0.2, colour, 0.25 * colour + 0.45)
    elif look.cloth_kind == "knit":
        colour = colour * (1 + 0.35 * np.sin(44 * x) * np.sin(30 * y + 6 * np.abs(np.sin(22 * x))))
    elif look.cloth_kind == "collar":
        flap = np.abs(y - 2.02 - 0.75 * a) - 0.13
        colour = np.where((flap < 0) & (a < 0.95), 0.3 * colour + 0.5, colour) * (
            1 - 0.5 * np.exp(-((flap / 0.03) ** 2))
        )
    side = np.clip(0.7 + 0.28 * x * float(look.light[0]), 0.25, 1.2)
    below_chin = 1 - 0.3 * bell(x, y - 2.1, 0.8, 0.35)
    part.lay(
        colour * look.warmth[:, None, None] * ((look.ambient + 0.75 * look.strength * side) * below_chin), part.edge(d)
    )
    part.tint((0.5, 0.5, 0.5), 0.6 * np.exp(-((d / 0.025) ** 2)))


def paint_glasses(canvas: Canvas, who: Identity, look: Look) -> None:
    """Frame, bridge, temples, and a faint reflection in each lens."""
    if who.glasses == "none" or not look.wears_glasses:
        return
    part, _ = canvas.window((np.abs(canvas.v - 0.04) < 0.42) & (np.abs(canvas.u) < 1.3))
    a, y = np.abs(part.u), part.v - 0.045
    x = a - 0.51
    if who.glasses == "round":
        rim = np.hypot(x, y * 1.06) - 0.335
    else:
        rim = np.hypot(np.maximum(np.abs(x) - 0.24, 0), np.maximum(np.abs(y) - 0.14, 0)) - 0.12
    width = 0.024 + 0.012 * (who.texture % 5) / 4
    bridge = np.maximum(np.abs(y + 0.08 - 0.12 * (a / 0.17) ** 2) - width, a - 0.17)
    temple = np.maximum(np.abs(y + 0.1) - width, np.maximum(0.83 - a, a - 1.15))
    frame = np.minimum(np.minimum(np.abs(rim) - width, bridge), temple)
    part.tint((0.6, 0.58, 0.58), 0.5 * part.edge((np.abs(rim) - width) - 0.045) * (y > -0.1))
    metal = who.texture % 3 == 0
    tone = np.array([0.45, 0.38, 0.25]) if metal else np.array([0.03, 0.02, 0.02]) + 0.08 * who.hair
    shine = 1 + 1.4 * np.exp(-(((frame + width * 0.6) / (0.4 * width)) ** 2)) * (y < 0)
    part.lay(tone[:, None, None] * shine * (look.ambient + 0.7 * look.strength), part.edge(frame))
    streak = np.exp(-(((part.u * np.sign(look.light[0]) + y * 0.9 - 0.35) / 0.09) ** 2)) * part.edge(rim + width)
    part.glow(0.1 * look.strength * streak)
