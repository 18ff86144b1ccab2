"""Control: another image's map, or its tokens. As good as one's own, and not of this picture."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from pydantic import Field

from srledger.errors import SrledgerError
from srledger.plugins import PluginConfig
from srledger.priors import Prior, PriorInput
from srledger.priors._maps import as_map
from srledger.seeds import numpy_generator


class Config(PluginConfig):
    """Whose maps, and which order."""

    of: str
    seed: int = Field(default=0, ge=0)


class Shuffled(Prior):
    """Each image gets the map of the next in one random circle through its split, so that none keeps its own."""

    takes_tokens = True
    config: Config
    _circle: tuple[Mapping[str, PriorInput], dict[str, str]] = ({}, {})  # the split last seen, and who follows whom

    def map_of(self, image: PriorInput) -> np.ndarray:
        """``H x W``, or tokens.

        Raises SrledgerError when the image is alone in its split, and for tokens of an image of another size.
        """
        other = image.others[self._next(image)]
        values = self.base.map_of(other)
        if self.has_tokens:
            if other.hr.shape != image.hr.shape:
                raise SrledgerError(
                    "tokens can't be handed on to an image of another size", found=other.hr.shape[:2],
                    expected=image.hr.shape[:2], mend="give the task `hr_size_px`, or do without the prior",
                )  # fmt: skip
            return values
        size = (image.hr.shape[0], image.hr.shape[1])
        return values if values.shape in {size, (1, 1)} else as_map(values, size)

    def _next(self, image: PriorInput) -> str:
        if len(image.others) < 2:
            raise SrledgerError("an image is alone in its split: there is no other's map to give it")
        if image.others is not self._circle[0]:
            order = (
                numpy_generator("shuffled", image.split, self.config.seed).permutation(sorted(image.others)).tolist()
            )
            self._circle = (image.others, dict(zip(order, [*order[1:], order[0]], strict=True)))
        return self._circle[1][image.id]
