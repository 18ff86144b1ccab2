"""YODA's masks: where a map says little, diffusion starts late.

Of T steps, counted down from T to 1, a position takes part in the last ``floor(T * reach)``; ``reach`` follows from the
map A and the lower bound l. A map of one everywhere reaches every step: the sampler without YODA.
"""

from __future__ import annotations

import torch

from srledger.diffusion.config import MaskRule
from srledger.errors import SrledgerError


def reach_of(prior: torch.Tensor, rule: MaskRule, lower_bound: float) -> torch.Tensor:
    """The share of the steps that each position takes part in, float64 ``B x 1 x H x W``: max(A, l) or A + l.

    Above 1 it is every step. float64, for a float32 product with T can fall on the wrong side of a step.
    """
    maps = prior.double()
    return maps.clamp(min=lower_bound) if rule == "max" else maps + lower_bound


def mask_at(reach: torch.Tensor, step: torch.Tensor | int, steps: int) -> torch.Tensor:
    """M(t), bool ``B x 1 x H x W``: who takes part in the step from ``step`` to ``step - 1`` of ``steps``."""
    return reach * steps >= step


def areas_of(reach: torch.Tensor, steps: int) -> torch.Tensor:
    """The share of positions inside each mask, float64 ``B x steps``, for steps 1 to ``steps``."""
    counts = (reach * steps).floor().clamp(max=steps).flatten(1)
    return torch.stack([(counts >= step).double().mean(1) for step in range(1, steps + 1)], dim=1)


def check_maps(prior: torch.Tensor, like: torch.Tensor) -> None:
    """Raise SrledgerError unless ``prior`` holds one map in [0, 1] per image of ``like``, as large as it."""
    expected = (like.shape[0], 1, *like.shape[-2:])
    if tuple(prior.shape) != expected:
        raise SrledgerError("the attention maps are of the wrong size", found=tuple(prior.shape), expected=expected)
    if not bool(torch.isfinite(prior).all()):
        raise SrledgerError(
            "an attention map holds NaN or infinity", found=_images(~torch.isfinite(prior)), expected="finite values"
        )
    outside = (prior < 0) | (prior > 1)
    if bool(outside.any()):
        raise SrledgerError("an attention map leaves [0, 1]", found=_images(outside), expected="values in [0, 1]")


def check_sampled_maps(prior: torch.Tensor, reach: torch.Tensor, steps: int, lower_bound: float) -> None:
    """Raise SrledgerError for maps of zeros, and for so few steps that a lower bound above 0 is not kept."""
    empty = prior.flatten(1).amax(1) == 0
    if bool(empty.any()):
        raise SrledgerError(
            "an attention map is zero everywhere", found=_images(empty[:, None]), expected="a map that says something",
            mend="give the prior a fallback for such images, or take the prior `uniform`",
        )  # fmt: skip
    if lower_bound and not bool(mask_at(reach, 1, steps).all()):
        raise SrledgerError(
            "there are too few sampling steps: parts of an image would never be sampled",
            found=f"sampling_steps {steps}, lower_bound {lower_bound}", expected="sampling_steps * lower_bound >= 1",
        )  # fmt: skip


def check_trained_maps(prior: torch.Tensor, lower_bound: float) -> None:
    """Raise SrledgerError for maps of zeros that nothing can be learnt from.

    A crop may lie where its map is zero, and the lower bound then lets it learn; a batch without anything else is a
    prior that says nothing.
    """
    empty = prior.flatten(1).amax(1) == 0
    if bool(empty.all()) or (lower_bound == 0 and bool(empty.any())):
        raise SrledgerError(
            "an attention map is zero everywhere", found=_images(empty[:, None]), expected="a map that says something",
            mend="look at the prior's maps: data/<scale>/priors; or take the prior `uniform`",
        )  # fmt: skip


def _images(wrong: torch.Tensor) -> str:
    positions = wrong.flatten(1).any(1).nonzero().flatten().tolist()
    return f"image {', '.join(str(k + 1) for k in positions[:5])} of {len(wrong)} in the batch"
