"""Randomness by name: every draw comes from the axes that define it, never from global state.

So a sample does not depend on batch size, worker count, the order of images or a resume.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from srledger.io import canonical_json, sha256_bytes

if TYPE_CHECKING:
    import torch


def seed_for(*axes: str | int) -> int:
    """A 63-bit seed that is a function of the named axes alone.

    ``seed_for("degradation", "bicubic", image_id, 0)``; the first axis says what the draw is for, so
    that two uses of the same image never share a stream.
    """
    digest = sha256_bytes(canonical_json(list(axes)).encode("utf-8"))
    return int(digest[:16], 16) >> 1


def numpy_generator(*axes: str | int) -> np.random.Generator:
    """A NumPy generator seeded by ``seed_for(*axes)``."""
    return np.random.Generator(np.random.PCG64(seed_for(*axes)))


def torch_generator(*axes: str | int, device: str | torch.device = "cpu") -> torch.Generator:
    """A torch generator on ``device`` seeded by ``seed_for(*axes)``."""
    import torch

    return torch.Generator(device=device).manual_seed(seed_for(*axes))
