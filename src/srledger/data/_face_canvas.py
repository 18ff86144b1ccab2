"""The canvas a face is painted on: coordinate fields, noise, light, and layers with soft edges."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from scipy import ndimage

from srledger.data._face_geometry import Camera, height
from srledger.data._face_people import Identity
from srledger.seeds import numpy_generator

TABLE_PX = 256


@functools.cache
def _table() -> np.ndarray:
    """Smooth noise that tiles, mean 0, standard deviation 1; features are about 3 cells wide."""
    white = numpy_generator("synthetic_faces", "noise table").standard_normal((TABLE_PX, TABLE_PX))
    smooth = ndimage.gaussian_filter(white, 1.2, mode="wrap")
    return (smooth / smooth.std()).astype(np.float32)


def noise(x: np.ndarray, y: np.ndarray, per_unit: float, offset: int) -> np.ndarray:
    """Smooth noise at (x, y) with about ``per_unit`` features a unit; another ``offset`` is another field."""
    ox, oy = divmod(offset * 7919 % (TABLE_PX * TABLE_PX), TABLE_PX)
    places = np.stack([y * (3 * per_unit) + oy, x * (3 * per_unit) + ox])
    return ndimage.map_coordinates(_table(), places, order=1, mode="grid-wrap", prefilter=False)


def ramp(low: float | np.ndarray, high: float, x: np.ndarray) -> np.ndarray:
    """Smooth step from 0 at ``low`` to 1 at ``high`` (which may be the smaller one)."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def bell(x: np.ndarray, y: np.ndarray, half_x: float, half_y: float) -> np.ndarray:
    """exp(-(x/hx)^2 - (y/hy)^2)."""
    return np.exp(-((x / half_x) ** 2) - (y / half_y) ** 2)


@dataclasses.dataclass
class Canvas:
    """Linear light ``3 x N x N`` and where its pixels lie.

    Attributes:
        light: the picture so far; windows share its memory.
        x, y: in the plane of the unrolled head, IOD.
        u, v: head coordinates of the surface point that is seen there, IOD.
        z: depth of that point in the camera's direction, IOD.
        px: size of a pixel in IOD; edges are softened over about one.
    """

    light: np.ndarray
    x: np.ndarray
    y: np.ndarray
    u: np.ndarray
    v: np.ndarray
    z: np.ndarray
    px: float

    def window(self, inside: np.ndarray) -> tuple[Canvas, tuple[slice, slice]]:
        """The smallest rectangle with all ``inside`` pixels: a canvas on the same memory, and where it lies."""
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        if not len(rows):
            rows = columns = np.zeros(2, np.int64)
        at = (slice(rows[0], max(rows[-1], rows[0] + 1) + 1), slice(columns[0], max(columns[-1], columns[0] + 1) + 1))
        fields = (self.x[at], self.y[at], self.u[at], self.v[at], self.z[at])
        return Canvas(self.light[:, *at], *fields, self.px), at

    def edge(self, distance: np.ndarray) -> np.ndarray:
        """Coverage of a shape from its signed distance in IOD (negative inside), antialiased."""
        return np.clip(0.5 - distance / (1.4 * self.px), 0, 1)

    def lay(self, colour: np.ndarray, cover: np.ndarray) -> None:
        """Cover with ``colour`` (3 or 3 x H x W) by ``cover`` in [0, 1]."""
        colour = np.asarray(colour, np.float32)
        self.light += cover * ((colour[:, None, None] if colour.ndim == 1 else colour) - self.light)

    def tint(self, factor: np.ndarray | tuple[float, float, float], cover: np.ndarray) -> None:
        """Multiply by ``factor`` (one a channel) where ``cover`` is 1, by 1 where it is 0."""
        self.light *= 1 + cover * (np.asarray(factor, np.float32)[:, None, None] - 1)

    def glow(self, amount: np.ndarray) -> None:
        """Add white light."""
        self.light += amount


def open_canvas(who: Identity, camera: Camera, roll: float, size_px: int) -> Canvas:
    """Find for each pixel the point of the head that it shows (fixed-point search along the line of sight)."""
    centres = (np.arange(size_px, dtype=np.float32) + 0.5) / size_px
    across, down = ((centres - np.float32(shift)) / np.float32(camera.scale) for shift in camera.shift)
    c, s = np.float32(np.cos(roll)), np.float32(np.sin(roll))
    x: np.ndarray = c * across + s * down[:, None]
    y: np.ndarray = c * down[:, None] - s * across
    unrolled = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) @ camera.rotation
    (a, b, e), (f, g, h) = unrolled[:2].astype(np.float32)  # x = a u + b v + e z,  y = f u + g v + h z
    determinant = a * g - b * f
    u, v = x, y
    for _ in range(6):
        z = height(who, u, v)
        u, v = (g * (x - e * z) - b * (y - h * z)) / determinant, (a * (y - h * z) - f * (x - e * z)) / determinant
    i, j, k = unrolled[2].astype(np.float32)
    depth = i * u + j * v + k * height(who, u, v)
    return Canvas(np.zeros((3, size_px, size_px), np.float32), x, y, u, v, depth, 1 / (size_px * camera.scale))


def normals(z: np.ndarray, px: float) -> np.ndarray:
    """Unit normals ``3 x H x W`` (x right, y down, z toward the camera) of a depth map in IOD."""
    dy, dx = np.gradient(z, np.float32(px))
    length = np.sqrt(dx * dx + dy * dy + 1)
    return np.stack([-dx / length, -dy / length, 1 / length])


def lit(surface: np.ndarray, light: np.ndarray, wrap: float) -> np.ndarray:
    """Lambert term in [0, 1] of unit normals ``3 x H x W``; ``wrap`` > 0 lets light reach past the terminator."""
    facing = np.tensordot(light.astype(np.float32), surface, 1)
    return np.maximum((facing + wrap) / (1 + wrap), 0)


def glint(surface: np.ndarray, light: np.ndarray, sharpness: int) -> np.ndarray:
    """Blinn's highlight in [0, 1], seen from the camera; ``sharpness`` is the power of two of the exponent."""
    half = light + np.array([0, 0, 1])
    value = np.maximum(np.tensordot((half / np.linalg.norm(half)).astype(np.float32), surface, 1), 0)
    for _ in range(sharpness):
        value = value * value
    return value
