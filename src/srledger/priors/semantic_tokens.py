"""What a vision encoder sees in the enlarged LR image: a grid of patch tokens, VOSR's semantics."""

from __future__ import annotations

import numpy as np

from srledger.imresize import imresize
from srledger.plugins import PluginConfig
from srledger.priors import Prior, PriorInput
from srledger.priors._maps import enlarged


class Config(PluginConfig):
    """Whose tokens; which block's is the encoder's own setting."""

    encoder: str


class SemanticTokens(Prior):
    """Tokens of LR, enlarged (bicubic) to HR's size and then brought to the encoder's. Reads LR alone."""

    needs_tokens = True
    gives_tokens = True
    config: Config

    def map_of(self, image: PriorInput) -> np.ndarray:
        """``h x w x D``. What is looked at is whole patches high and wide, so that the grid covers all of the image."""
        import torch

        size = (image.hr.shape[0], image.hr.shape[1])
        at_hr = enlarged(image.lr, None, size)
        seen = np.clip(imresize(at_hr, *self._seen_px(size)), 0, 1)
        with torch.no_grad():
            tokens = self.encoder.tokens(torch.from_numpy(seen).float()[None])[0]
        return tokens.permute(1, 2, 0).numpy()

    def _seen_px(self, hr_size: tuple[int, int]) -> tuple[int, int]:
        """The size that the encoder looks at: the longer side its own, each a multiple of the patch."""
        patch = self.encoder.token_px(self.encoder.config)
        longer = self.encoder.size_px or max(hr_size)
        height, width = (max(1, round(longer * side / max(hr_size) / patch)) * patch for side in hr_size)
        return height, width
