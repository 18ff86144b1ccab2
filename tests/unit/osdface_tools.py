"""Small networks of OSDFace on an untrained prior, and what is fed to them."""

from __future__ import annotations

import torch

from srledger.encoders.prompted_diffusion import Config as PriorConfig
from srledger.encoders.prompted_diffusion import PromptedDiffusion
from srledger.encoders.tiny_dino_vit import Config as VitConfig
from srledger.encoders.tiny_dino_vit import TinyDinoVit
from srledger.methods import Batch, osdface
from srledger.seeds import torch_generator

PROMPT_CHANNELS = 5
SIZES = {"lora_rank": 2, "lora_alpha": 2.0, "adapter_width": 4, "token_channels": PROMPT_CHANNELS}
CONTROL = {"regime": "multi_step", "concatenate_lq": True, "sampling_steps": 3}
PRIOR = PriorConfig(widths=(8, 8), denoiser_widths=(8, 16), head_channels=8, context_channels=6, captioner_width=4)
VIT = VitConfig(width=12, depth=1, heads=2, hidden=12, size_px=16)


def recogniser() -> TinyDinoVit:
    torch.manual_seed(1)
    return TinyDinoVit(VIT, {})


def tiny(scale_factor: int = 1, learnt: bool = True, judged: bool = False, **settings: object) -> osdface.OsdFace:
    """A small method on a prior whose latents have a mean; ``learnt``: what starts at zero is not zero."""
    torch.manual_seed(0)
    encoder = PromptedDiffusion(PRIOR, {})
    encoder.model.latent_mean += 0.3
    if judged:
        encoder.judged_by(recogniser())
    method = osdface.OsdFace(osdface.Config.model_validate({**SIZES, **settings}), scale_factor, encoder)
    if learnt:
        generator = torch_generator("learnt")
        for name, value in method.named_parameters():
            if "lora_B" in name or "beside" in name:
                value.data = torch.randn(value.shape, generator=generator) * 0.2
    return method


def images(*shape: int, name: str = "images") -> torch.Tensor:
    return torch.rand(*shape, generator=torch_generator(name, *shape))


def prompts(size: int = 2, count: int = 3) -> torch.Tensor:
    return torch.randn(size, PROMPT_CHANNELS, count, 1, generator=torch_generator("prompts", size, count))


def batch(size: int = 2, factor: int = 1, progress: float = 0.5, prior: torch.Tensor | None = None) -> Batch:
    hr, lr = images(size, 3, 16, 16, name="hr"), images(size, 3, 16 // factor, 16 // factor, name="lr")
    given = prompts(size) if prior is None else prior
    return Batch(lr, hr, given, progress, torch_generator("loss"))
