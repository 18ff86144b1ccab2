"""A linear codec in closed form: square patches of the training images by their first principal components.

An image is cut into patches of ``factor`` px (space to depth), and a latent is what a patch's deviation from the mean
patch is along each component, divided by the component's deviation: mean 0, variance 1, uncorrelated. The decoder is
the transpose. Of all linear codecs of this size it has the least squared error on the images that it was fitted to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, model_validator

from srledger.encoders import Encoder
from srledger.errors import SrledgerError
from srledger.plugins import PluginConfig

if TYPE_CHECKING:
    from srledger.priors import PriorInput

ROUNDING_VARIANCE = (1 / 255) ** 2 / 12  # of a value that was rounded to 8 bits


class Config(PluginConfig):
    """How coarse the latents are, and how many numbers each holds."""

    factor: int = Field(default=4, ge=1, description="side of a patch in px")
    channels: int = Field(default=12, ge=1, description="of a latent: the components that are kept")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.channels > 3 * self.factor**2:
            raise ValueError(
                f"a patch of factor {self.factor} has {3 * self.factor**2} numbers, found channels {self.channels}"
            )
        return self


class PcaCodec(Encoder):
    """Its only map is the latents.

    Buffers:
        mean: the mean patch, ``3 factor^2`` values in the order of ``pixel_unshuffle``.
        components: ``channels x 3 factor^2``, orthonormal, by falling variance; of each the entry of the greatest
            magnitude is positive, which fixes the sign that an eigenvector leaves open.
        deviation: of the training patches along each component.
    """

    fits = True
    codes = True
    config: Config
    mean: torch.Tensor
    components: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, config: Config, weight_files: Mapping[str, Path]) -> None:
        super().__init__(config, weight_files)
        numbers = 3 * config.factor**2
        self.register_buffer("mean", torch.full((numbers,), 0.5))
        self.register_buffer("components", torch.eye(config.channels, numbers))
        self.register_buffer("deviation", torch.ones(config.channels))

    def fit(self, images: Iterable[PriorInput]) -> None:
        """Take the principal components of all whole patches of the HR images.

        Sums are of whole numbers, which float64 holds exactly: neither the order of the images nor the number of
        threads changes a bit of them.

        Raises:
            SrledgerError: no image is as large as a patch.
        """
        numbers, count = 3 * self.config.factor**2, 0
        total = torch.zeros(numbers, dtype=torch.float64)
        products = torch.zeros(numbers, numbers, dtype=torch.float64)
        for image in images:
            if min(image.hr.shape[:2]) < self.config.factor:
                continue  # it has no whole patch
            patches = self._patches_of(image.hr)
            count += len(patches)
            total += patches.sum(dim=0)
            products += patches.T @ patches
        if not count:
            raise SrledgerError(
                "the codec pca_codec has no patches to learn from",
                expected=f"images of {self.config.factor} px and more",
            )  # fmt: skip
        mean = total / count
        variances, vectors = torch.linalg.eigh((products / count - torch.outer(mean, mean)) / 255**2)
        kept = slice(None, -self.config.channels - 1, -1)  # eigh sorts by rising variance
        components = vectors.T.numpy()[kept].copy()
        strongest = np.abs(components).argmax(axis=1)
        components *= np.sign(components[np.arange(len(components)), strongest])[:, None]
        self.mean.copy_(mean / 255)
        self.components.copy_(torch.from_numpy(components))
        # Along what the images do not vary in, rounding is all there is; divided by less, it would become noise.
        self.deviation.copy_(torch.from_numpy(variances.numpy()[kept].copy()).clamp(min=ROUNDING_VARIANCE).sqrt())

    def _patches_of(self, pixels: np.ndarray) -> torch.Tensor:
        """float64 ``N x 3 factor^2``, grey levels of 0 to 255."""
        factor = self.config.factor
        height, width = (side // factor * factor for side in pixels.shape[:2])
        planes = torch.from_numpy(pixels[:height, :width].astype(np.float64)).permute(2, 0, 1)
        return F.pixel_unshuffle(planes, factor).flatten(1).T

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [self.encode(images)]

    @property
    def latent_channels(self) -> int:
        return self.config.channels

    @property
    def factor(self) -> int:
        return self.config.factor

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """See ``Encoder.encode``; past the border the edge pixels are repeated to whole patches."""
        padding = (0, -images.shape[-1] % self.factor, 0, -images.shape[-2] % self.factor)
        with torch.autocast(images.device.type, enabled=False):
            patches = F.pixel_unshuffle(F.pad(images.float(), padding, mode="replicate"), self.factor)
            centred = patches - self.mean[:, None, None]
            return F.conv2d(centred, (self.components / self.deviation[:, None])[:, :, None, None])

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        with torch.autocast(latents.device.type, enabled=False):
            back = (self.components * self.deviation[:, None]).T.contiguous()
            patches = F.conv2d(latents.float(), back[:, :, None, None]) + self.mean[:, None, None]
            return F.pixel_shuffle(patches, self.factor)
