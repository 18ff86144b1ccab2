"""What an embedder says of a degraded face: its best matching distinct codes, OSDFace's prompts (spec I.2.3)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from srledger.plugins import PluginConfig
from srledger.priors import Prior, PriorInput
from srledger.priors._maps import enlarged


class Config(PluginConfig):
    """Whose prompts, and of which image; how many are kept is the encoder's own setting."""

    encoder: str
    source: Literal["lq", "hq"] = Field(
        default="lq",
        description="lq: of LR by the branch of degraded images. hq: of HR by the branch of clean ones, an oracle that "
        "knows what is to be restored",
    )


class VrePrompts(Prior):
    """Prompts as a grid of one column, so that a flip of the image leaves their order alone: they have no places.

    LR is enlarged (bicubic) to HR's size first. With source ``lq`` HR is not read; with ``hq`` it is an ORACLE, for an
    upper bound alone.
    """

    needs_prompts = True
    gives_tokens = True
    config: Config

    def map_of(self, image: PriorInput) -> np.ndarray:
        """``K x 1 x D``, the best match first; zeros where the image has fewer than K distinct codes."""
        import torch

        if self.config.source == "hq":
            seen = np.moveaxis(image.hr, -1, 0) / 255.0
        else:
            seen = enlarged(image.lr, None, (image.hr.shape[0], image.hr.shape[1]))
        with torch.no_grad():
            prompts = self.encoder.prompts_of(torch.from_numpy(seen).float()[None], self.config.source)[0]
        return prompts[:, None].numpy()
