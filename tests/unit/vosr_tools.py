"""Small networks of VOSR on a codec that loses nothing, and what is fed to them."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from srledger.encoders import Encoder
from srledger.methods import Batch, vosr
from srledger.plugins import PluginConfig
from srledger.seeds import torch_generator

TOKENS = 6
STUDENT = {"one_step": True}


class LinearCodec(Encoder):
    """Latents are the pixels of squares of 2 px, in [-1, 1]: nothing is lost."""

    codes = True
    latent_channels, factor = 12, 2

    def __init__(self) -> None:
        super().__init__(PluginConfig(), {})

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [images]

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return F.pixel_unshuffle(images * 2 - 1, self.factor)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return (F.pixel_shuffle(latents, self.factor) + 1) / 2


class CoarseCodec(LinearCodec):
    """The same with squares of 4 px."""

    latent_channels, factor = 48, 4


def tiny(
    scale_factor: int = 1, learnt: bool = True, codec: type[LinearCodec] = LinearCodec, **settings: object
) -> vosr.Vosr:
    """A small method; ``learnt``: its zero layers are not zero."""
    torch.manual_seed(0)
    steps = {} if settings.get("one_step") else {"sampling_steps": 3}
    given = {"token_channels": TOKENS, "colour_fix": "none", **steps, **settings}
    method = vosr.Vosr(vosr.Config.model_validate(given), scale_factor, codec())
    if learnt:
        generator = torch_generator("learnt")
        for value in method.network.parameters():
            if not float(value.detach().abs().max()):
                value.data = torch.randn(value.shape, generator=generator) * 0.2
    return method


def student_of(teacher: vosr.Vosr, **settings: object) -> vosr.Vosr:
    student = tiny(teacher.scale_factor, **STUDENT, **settings)
    student.start_from(teacher)
    return student


def images(*shape: int, name: str = "images") -> torch.Tensor:
    return torch.rand(*shape, generator=torch_generator(name, *shape))


def token_prior(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch_generator("tokens", *shape))


def batch(size: int = 2, factor: int = 1, step: int = 0, prior: torch.Tensor | None = None) -> Batch:
    hr = images(size, 3, 16, 16)
    given = token_prior(size, TOKENS, 2, 2) if prior is None else prior
    return Batch(F.avg_pool2d(hr, factor), hr, given, 0.5, torch_generator("loss", step))


def calls_of(method: vosr.Vosr) -> list[tuple[torch.Tensor, ...]]:
    """What its network is asked from now on, call by call."""
    found: list[tuple[torch.Tensor, ...]] = []
    method.network.register_forward_pre_hook(lambda network, given: found.append(given))
    return found
