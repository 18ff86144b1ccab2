"""Exponential moving average of weights, with a warm-up so that short trainings have one too."""

from __future__ import annotations

import torch
from torch import nn


class Ema:
    """Average of a module's parameters; ``decay`` grows as (1 + t) / (10 + t) until it reaches its value."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.tensors = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Take the weights after optimiser step ``step`` (counted from 1) in."""
        decay = min(self.decay, (1 + step) / (10 + step))
        current = module.state_dict()
        floating = [name for name, value in self.tensors.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.tensors[name] for name in floating], [current[name] for name in floating], 1 - decay)
        for name in self.tensors.keys() - set(floating):
            self.tensors[name].copy_(current[name])
