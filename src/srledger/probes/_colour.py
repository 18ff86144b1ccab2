"""The mean error of an image's channels, and what of it is a cast."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

CHANNELS = ("red", "green", "blue")


def mean_error(sr: np.ndarray, hr: np.ndarray) -> np.ndarray:
    """Mean of SR minus HR per channel, in grey levels; float64 of 3."""
    return (sr.astype(np.float64) - hr).mean(axis=(0, 1))


def brightness_and_cast(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Of the channels' mean errors: their mean, and the root mean square of what differs from it."""
    brightness = np.mean([columns[channel] for channel in CHANNELS], axis=0)
    cast = np.sqrt(np.mean([(columns[channel] - brightness) ** 2 for channel in CHANNELS], axis=0))
    return {"brightness": brightness, "cast": cast}
