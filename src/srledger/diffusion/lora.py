"""Low-rank adapters (Hu et al., "LoRA", 2022) of linear and convolutional layers, of the form that peft gives them.

An adapted layer is ``base(x) + alpha / rank * B(A(x))`` with a frozen base. A of a convolution has the base's kernel,
stride and padding, B is a 1x1 convolution. B starts at zero: an adapted network starts as the frozen one.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence

import torch
from torch import nn

# The layers of a conditional U-Net that adapters change: those of a re-training of OSDFace (js43o, grade B) for its
# discriminator; the release adapts linear and convolutional layers, and does not list them.
ADAPTED = (
    "to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "conv1", "conv2", "conv_shortcut", "proj_in",
    "proj_out",
)  # fmt: skip


class Adapted(nn.Module):
    """A frozen layer with its adapter.

    Args:
        base: an ``nn.Linear``, or an ``nn.Conv2d`` of one group; it is frozen here.
        rank: of the product B A.
        alpha: over the rank it is the adapter's factor.
    """

    def __init__(self, base: nn.Linear | nn.Conv2d, rank: int, alpha: float) -> None:
        super().__init__()
        self.base_layer = base.requires_grad_(False)
        self.scale = alpha / rank
        if isinstance(base, nn.Linear):
            self.lora_A: nn.Module = nn.Linear(base.in_features, rank, bias=False)
            self.lora_B: nn.Module = nn.Linear(rank, base.out_features, bias=False)
        else:
            self.lora_A = nn.Conv2d(
                base.in_channels, rank, base.kernel_size, base.stride, base.padding, bias=False  # type: ignore[arg-type]
            )  # fmt: skip
            self.lora_B = nn.Conv2d(rank, base.out_channels, 1, bias=False)
        nn.init.kaiming_uniform_(self.lora_A.weight, a=math.sqrt(5))
        nn.init.zeros_(self.lora_B.weight)

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        return self.base_layer(given) + self.scale * self.lora_B(self.lora_A(given))


def add_adapters(network: nn.Module, rank: int, alpha: float, names: Sequence[str] = ADAPTED) -> None:
    """Freeze ``network`` and give an adapter to each of its linear and convolutional layers that ``names`` end.

    Raises ValueError where none of them is there.
    """
    network.requires_grad_(False)
    found = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d) and any(f".{name}".endswith(f".{one}") for one in names)
    ]
    if not found:
        raise ValueError(f"none of the layers {', '.join(names)} is in the network that adapters are for")
    for name in found:
        parent, _, last = name.rpartition(".")
        holder = network.get_submodule(parent)
        setattr(holder, last, Adapted(getattr(holder, last), rank, alpha))


class Widened(nn.Module):
    """A frozen convolution with a second one beside it, from zero weights, for channels that follow its own.

    Args:
        base: an ``nn.Conv2d``; it is frozen here.
        more: how many channels follow.
    """

    def __init__(self, base: nn.Module, more: int) -> None:
        super().__init__()
        assert isinstance(base, nn.Conv2d)
        self.base_layer = base.requires_grad_(False)
        self.beside = nn.Conv2d(
            more, base.out_channels, base.kernel_size, base.stride, base.padding, bias=False  # type: ignore[arg-type]
        )  # fmt: skip
        nn.init.zeros_(self.beside.weight)

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        own = self.base_layer.in_channels
        return self.base_layer(given[:, :own]) + self.beside(given[:, own:])


@contextlib.contextmanager
def no_learning(network: nn.Module) -> Iterator[None]:
    """What is computed inside gives no gradient to ``network``, and lets one through to what it was given."""
    learning = [value for value in network.parameters() if value.requires_grad]
    for value in learning:
        value.requires_grad_(False)
    try:
        yield
    finally:
        for value in learning:
            value.requires_grad_(True)
