"""``bilinear_chain``: halvings by Pillow's antialiased bilinear filter, one after another (128 -> 64 -> 32 -> 16).

The code behind the landmark-weighted U-Net makes its LR images so, although the paper says bicubic; the published
numbers belong to this chain (``torchvision.transforms.Resize`` on a Pillow image). Every halving rounds to 8 bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from srledger.degradations import Degradation
from srledger.errors import SrledgerError
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """Nothing to set: the chain is fixed by the scale factor."""


class BilinearChain(Degradation):
    """log2(s) halvings. Draws nothing.

    Raises:
        SrledgerError: the scale factor is not 2, 4, 8, ...
    """

    def __init__(self, config: PluginConfig, scale_factor: int) -> None:
        super().__init__(config, scale_factor)
        if scale_factor < 2 or scale_factor & (scale_factor - 1):
            raise SrledgerError(
                "bilinear_chain halves the image again and again",
                found=f"scale factor {scale_factor}",
                expected="a power of two (2, 4, 8, ...)",
                mend="change the task's sizes, or use degradation: bicubic",
            )

    def degrade(
        self, hr: np.ndarray, rng: np.random.Generator, given_lr: np.ndarray | None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """See ``Degradation.degrade``."""
        image = Image.fromarray(hr)
        for _ in range(self.scale_factor.bit_length() - 1):
            image = image.resize((image.width // 2, image.height // 2), Image.Resampling.BILINEAR)
        return np.asarray(image).copy(), {}
