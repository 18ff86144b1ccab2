"""What teaches a network to cross a flow in one jump: a guided teacher, and agreement with its own shorter jumps.

A jump ``u(z, t, r)`` is the mean velocity from t down to r: ``z_r = z_t - (t - r) u``. At r = t it is the velocity.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from srledger.diffusion.flow import over_images

Jump = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]  # z (B x C x h x w), t (B), r (B) -> as z


def draw_times(count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """(t, r), ``count`` each: t the larger of two even draws, r = t (1 - g) with g even (Beta(1, 1))."""
    t = torch.rand(count, 2, generator=generator, device=generator.device).amax(dim=1)
    return t, t * (1 - torch.rand(count, generator=generator, device=generator.device))


def recursive_error(
    jump: Jump,
    found: torch.Tensor,
    velocity: torch.Tensor,
    z: torch.Tensor,
    t: torch.Tensor,
    r: torch.Tensor,
    delta: float,
    parts: int,
) -> torch.Tensor:
    """How far a jump is from being consistent with itself (recursive consistency), of the shape of ``z``.

    One large jump must go as far as a step of ``delta`` along the teacher and the network's own jumps over the rest,
    in ``parts`` equal ones:

        e = ((t - r) u(t, r) - S) / delta - v    for t - r > delta,
        e = u(t, r) - S / (t - r) - v            nearer: the step ends at r, S is 0, and what is left is u - v.

    Args:
        jump: the network, under the conditions of its batch; no gradient goes through it here.
        found: u(t, r).
        velocity: v, the guided teacher's at ``z``.
        z: at ``t``, ``B x C x h x w``.
        t, r: ``B``.
        delta: of the step along the teacher.
        parts: of the rest.
    """
    with torch.no_grad():
        middle = torch.maximum(t - delta, r)
        near = t - r <= delta
        here, gone = z - over_images(t - middle) * velocity, torch.zeros_like(z)
        for k in range(parts):
            start, end = (torch.lerp(middle, r, part / parts) for part in (k, k + 1))
            moved = over_images(start - end) * jump(here, start, end)
            here, gone = here - moved, gone + moved
        # Where it is near nothing has been gone, but for what rounding leaves between the middle and r.
        far = (over_images(t - r) * found - gone) / delta - velocity
        return torch.where(over_images(near), found - velocity, far)


def recursive_target(found: torch.Tensor, error: torch.Tensor, most: float) -> torch.Tensor:
    """What a jump is to become: itself less its error, each value of it cut to [-most, most]. No gradient."""
    return (found - error.clamp(-most, most)).detach()


def shortcut_target(jump: Jump, z: torch.Tensor, t: torch.Tensor, r: torch.Tensor) -> torch.Tensor:
    """What a jump is to become (Frans et al. 2025): the mean of the two jumps over its halves. No gradient."""
    with torch.no_grad():
        middle = (t + r) / 2
        first = jump(z, t, middle)
        second = jump(z - over_images(t - middle) * first, middle, r)
        return (first + second) / 2
