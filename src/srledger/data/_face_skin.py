"""Head, ears and neck: relief, skin colour and light."""

from __future__ import annotations

import numpy as np

from srledger.data._face_canvas import Canvas, bell, glint, lit, noise, normals, ramp
from srledger.data._face_geometry import inside_head
from srledger.data._face_people import Identity, Look

# Light that has gone through skin comes back red: its terminator is wider in red than in blue (subsurface scattering).
WRAP_RGB = (0.45, 0.25, 0.18)


def relief(who: Identity, look: Look, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Shape that only the shading shows, IOD: sockets, brow ridge, wings of the nose, lips, cheeks, chin, wrinkles."""
    a = np.abs(u)
    down = look.mouth_open * 0.1
    z = -0.13 * bell(a - 0.45, v + 0.03, 0.3, 0.17)
    z += 0.075 * bell(a - 0.48, v, 0.2, 0.12)
    z += 0.05 * bell(a - 0.35, v + 0.3, 0.4, 0.12)
    z += 0.09 * bell(a - who.nose_width * 0.85, v - who.nose_length - 0.02, 0.09, 0.09)
    z += (0.05 + 0.07 * max(0, look.smile)) * bell(a - 0.62, v - 0.52, 0.3, 0.28)
    z += 0.05 * bell(u, v - who.mouth_v + 0.06, 0.34, 0.1) + 0.06 * bell(u, v - who.mouth_v - 0.09 - down, 0.28, 0.09)
    z -= 0.05 * bell(u, v - who.mouth_v - 0.23 - down, 0.24, 0.07)
    z += 0.09 * bell(u, v - who.chin + 0.22, 0.25, 0.17)
    z -= 0.02 * bell(u, v - who.nose_length - 0.2, 0.045, 0.12)
    return z.astype(np.float32)


def folds(who: Identity, look: Look, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Darkness in [0, 1] of the lines from nose to mouth, under the eyes, and of the forehead with age."""
    a = np.abs(u)
    smile = max(0.0, look.smile)
    line = who.nose_width + 0.06 + (0.16 + 0.1 * smile) * ramp(who.nose_length, who.mouth_v + 0.1, v)
    along = ramp(who.nose_length - 0.1, who.nose_length + 0.08, v) * ramp(who.mouth_v + 0.12, who.mouth_v - 0.05, v)
    dark = (0.16 + 0.4 * smile + 0.25 * who.age) * along * np.exp(-(((a - line) / 0.035) ** 2))
    bag = 0.17 + 0.1 * (1 - ((a - 0.5) / 0.3) ** 2)
    dark += (0.1 + 0.4 * who.age) * bell(a - 0.48, v - bag + 0.07, 0.24, 0.028)
    if who.age > 0.35:
        rows = np.exp(-((np.sin(22 * (v + 0.06 * np.cos(3 * u))) - 1) ** 2) * 5)
        dark += 0.45 * (who.age - 0.3) * rows * bell(u, v + 0.68, 0.62, 0.2)
        crow = np.exp(-((np.sin(14 * np.arctan2(v, a - 0.6)) - 1) ** 2) * 5)
        dark += 0.5 * (who.age - 0.3) * crow * bell(a - 0.87, v - 0.02, 0.1, 0.14)
    return np.clip(dark, 0, 0.8).astype(np.float32)


def skin_colour(who: Identity, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Albedo ``3 x H x W``: blotches, pores, blush, freckles, moles, shaved beard."""
    a = np.abs(u)
    blotch = (
        0.045 * noise(u, v, 2.2, who.texture)
        + 0.035 * noise(u, v, 9, who.texture + 1)
        + 0.03 * noise(u, v, 24, who.texture + 2)
    )
    albedo = who.skin[:, None, None] * (1 + blotch)
    blush = 0.5 * bell(a - 0.62, v - 0.5, 0.32, 0.24) + 0.35 * bell(u, v - who.nose_length, 0.24, 0.14)
    blush = blush * (1 - 0.6 * who.darkness) * (1 + 0.2 * blotch / 0.06)
    albedo *= 1 + blush * np.array([0.02, -0.2, -0.18], np.float32)[:, None, None]
    lids = 0.3 * bell(a - 0.49, v + 0.05, 0.28, 0.14)
    albedo *= 1 - lids * np.array([0.35, 0.5, 0.45], np.float32)[:, None, None]
    if who.freckles:
        where = bell(u, v - 0.38, 0.85, 0.33) * ramp(0.75, 1.5, noise(u, v, 15, who.texture + 3))
        albedo *= 1 - who.freckles * where * np.array([0.3, 0.45, 0.5], np.float32)[:, None, None]
    for mark_u, mark_v, size in who.marks:
        albedo *= 1 - 0.65 * bell(u - mark_u, v - mark_v, size, size)
    shadow = who.stubble * beard_region(who, u, v) * (0.4 + 0.12 * noise(u, v, 45, who.texture + 4))
    albedo *= 1 - np.clip(shadow, 0, 0.7) * np.array([0.62, 0.55, 0.48], np.float32)[:, None, None]
    return albedo


def beard_region(who: Identity, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Where a beard grows, in [0, 1]: jaw, chin, cheeks below a slanted line, upper lip; not the lips."""
    a = np.abs(u)
    line = 0.95 - 0.62 * ramp(0.45, 1.05, a) + 0.25 * ramp(0.5, 0.2, a)
    region = ramp(-0.06, 0.1, v - line)
    lip = bell(u, v - who.nose_length - 0.25, 0.36, 0.085)
    mouth = bell(u, v - who.mouth_v - 0.03, who.mouth_half * 0.92, 0.15)
    return np.clip(np.maximum(region, 1.1 * lip) * (1 - 1.25 * mouth), 0, 1)


def paint_head(canvas: Canvas, who: Identity, look: Look) -> None:
    """The head without hair and features."""
    q = inside_head(who, canvas.u, canvas.v)
    dy, dx = np.gradient(q, np.float32(canvas.px))
    cover = canvas.edge(-q / np.sqrt(dx * dx + dy * dy + 0.05))
    part, at = canvas.window(cover > 0)
    surface = normals(part.z + relief(who, look, part.u, part.v), part.px)
    surface += 0.018 * np.stack(
        [noise(part.u, part.v, 30, who.texture + 5), noise(part.u, part.v, 30, who.texture + 6), 0 * part.u]
    )
    colour = skin_colour(who, part.u, part.v) * (1 - 0.5 * folds(who, look, part.u, part.v))
    part.lay(shade_skin(colour, surface, who, look) * face_occlusion(who, look, part), cover[at])


def shade_skin(colour: np.ndarray, surface: np.ndarray, who: Identity, look: Look) -> np.ndarray:
    """Light that leaves skin of albedo ``colour``: wrapped Lambert, sky and bounce light, two highlights."""
    sky = look.ambient * (0.75 - 0.25 * surface[1] + 0.25 * surface[2])
    rim = 0.12 * (1 - surface[2]) ** 2
    shine = (0.05 + 0.04 * who.darkness) * glint(surface, look.light, 3) + 0.05 * glint(surface, look.light, 5)
    warmth = look.warmth.astype(np.float32)
    return np.stack(
        [
            colour[c] * (look.strength * warmth[c] * lit(surface, look.light, WRAP_RGB[c]) + sky + rim)
            + look.strength * shine
            for c in range(3)
        ]
    )


def face_occlusion(who: Identity, look: Look, part: Canvas) -> np.ndarray:
    """Where light does not get in, as a factor in [0, 1]: sockets, below nose and lip, the shadow of the nose."""
    u, v, a = part.u, part.v, np.abs(part.u)
    dark = 0.3 * bell(a - 0.33, v + 0.02, 0.14, 0.12) + 0.22 * bell(a - 0.5, v + 0.13, 0.3, 0.07)
    dark += 0.22 * bell(u, v - who.nose_length - 0.15, who.nose_width * 0.95, 0.06)
    dark += 0.2 * bell(a - who.nose_width - 0.05, v - who.nose_length, 0.06, 0.1)
    dark += 0.25 * bell(u, v - who.mouth_v - 0.24 - 0.1 * look.mouth_open, 0.26, 0.05)
    away = float(np.sign(look.light[0]))
    cast = bell(u + away * (who.nose_width + 0.13), v - who.nose_length + 0.12, 0.16, 0.26) * ramp(0.0, 0.12, -away * u)
    dark += 0.5 * abs(float(look.light[0])) * cast
    return 1 - np.clip(dark, 0, 0.75)


def paint_ears(canvas: Canvas, who: Identity, look: Look) -> None:
    """Two ears, behind the cheeks; the far one hides as the head turns."""
    for side in (-1.0, 1.0) if who.hair_style not in ("long", "bangs") else ():
        centre_x = side * who.cheek * 1.03 * np.cos(look.yaw) - 0.1 * np.sin(look.yaw)
        x = (canvas.x - centre_x) * side
        y = canvas.y - 0.2 - 0.1 * look.pitch
        distance = (np.sqrt(((x - 0.1 * (-y) * 0.4) / 0.15) ** 2 + (y / 0.34) ** 2) - 1) * 0.17
        part, at = canvas.window(distance < 0.05)
        d, ex, ey = distance[at], x[at], y[at]
        bowl = bell(ex - 0.03, ey + 0.02, 0.06, 0.16)
        shape = normals((0.14 * np.sqrt(np.clip(-d / 0.17, 0, 1)) - 0.08 * bowl).astype(np.float32), part.px)
        colour = who.skin[:, None, None] * (1 - 0.45 * bowl) * np.array([1.02, 0.86, 0.84], np.float32)[:, None, None]
        part.lay(0.85 * shade_skin(colour, shape, who, look), part.edge(d))


def paint_neck(canvas: Canvas, who: Identity, look: Look) -> None:
    """The neck, a cylinder in the shadow of the chin."""
    half = 0.66 + 0.14 * (who.jaw - 1.9) / 1.0
    x = canvas.x + 0.25 * np.sin(look.yaw)
    distance = np.abs(x) - half - 0.35 * ramp(1.9, 2.6, canvas.y) ** 2
    part, at = canvas.window((distance < 0.1) & (canvas.y > 0.8))
    across, y, d = x[at], part.y, distance[at]
    bend = np.clip(across / half, -0.97, 0.97)
    surface = np.stack([bend, np.full_like(bend, 0.1), np.sqrt(1 - bend**2)])
    tendon = 0.1 * np.exp(-(((np.abs(across) - 0.2 - 0.12 * (2.6 - y)) / 0.07) ** 2)) * ramp(1.6, 2.1, y)
    shadow = 1 - 0.62 * ramp(who.chin + 0.55, who.chin - 0.05, y + 0.5 * across * float(look.light[0]))
    blotch = 1 + 0.05 * noise(across, y, 6, who.texture + 7) - tendon
    part.lay(shade_skin(who.skin[:, None, None] * blotch, surface, who, look) * shadow, part.edge(d))
