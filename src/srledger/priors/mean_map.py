"""Control: another prior's mean over the training images, the same map for every image. On aligned faces it is what a
prior knows without having looked at this one.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from pydantic import Field

from srledger.errors import SrledgerError
from srledger.plugins import PluginConfig
from srledger.priors import Prior, PriorInput


class Config(PluginConfig):
    """Whose maps, and of how many images."""

    of: str
    images: int | None = Field(
        default=None, ge=1, description="training images, evenly spread; null: all. For bases that take long"
    )


class MeanMap(Prior):
    """The base's maps of the training split, averaged pixel by pixel. The map is not stretched again."""

    config: Config
    _mean: tuple[Mapping[str, PriorInput] | None, np.ndarray] = (None, np.zeros((1, 1)))  # of the split last seen

    def map_of(self, image: PriorInput) -> np.ndarray:
        """``H x W``. Raises SrledgerError without training images, and for images of several sizes."""
        if image.training is not self._mean[0]:
            self._mean = (image.training, self._mean_over(image.training))
        mean = self._mean[1]
        if mean.shape not in {image.hr.shape[:2], (1, 1)}:
            raise _sizes(image.hr.shape[:2], mean.shape)
        return mean

    def _mean_over(self, images: Mapping[str, PriorInput]) -> np.ndarray:
        if not images:
            raise SrledgerError("a mean map needs training images", found="none", mend="give the task's dataset some")
        ids = list(images)
        count = min(self.config.images or len(ids), len(ids))
        total: np.ndarray | None = None
        for k in np.unique(np.linspace(0, len(ids) - 1, count).round().astype(int)).tolist():
            values = self.base.map_of(images[ids[k]]).astype(np.float64)
            if total is not None and values.shape != total.shape:
                raise _sizes(values.shape, total.shape)
            total = values if total is None else total + values
        assert total is not None
        return total / count


def _sizes(found: tuple[int, ...], expected: tuple[int, ...]) -> SrledgerError:
    return SrledgerError(
        "a mean map needs images of one size", found=found, expected=expected,
        mend="give the task `hr_size_px`, or do without the prior",
    )  # fmt: skip
