"""The autoencoder of Stable Diffusion 2.1 with its published weights: f = 8, four channels.

A latent is the posterior's mean (no sample is drawn) times 0.18215, which brings photographs of the web near unit
variance; other images' latents are not measured again, for what is built on them expects these.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file

from srledger.diffusion.images import symmetric
from srledger.encoders import Encoder
from srledger.encoders._sd_autoencoder import SdAutoencoder, named_as_now
from srledger.errors import SrledgerError
from srledger.plugins import PluginConfig

WEIGHTS = "sd21_vae"


class Config(PluginConfig):
    """The architecture of the file; the defaults are Stable Diffusion's: 83.7 million parameters."""

    widths: tuple[int, ...] = Field(default=(128, 256, 512, 512), min_length=1, description="per level, finest first")
    blocks: int = Field(default=2, ge=1, description="residual blocks a level")
    channels: int = Field(default=4, ge=1, description="of a latent")
    norm_groups: int = Field(default=32, ge=1)
    scaling: float = Field(default=0.18215, gt=0, description="factor on the network's own latents")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(width < 1 or width % self.norm_groups for width in self.widths):
            raise ValueError(f"norm_groups ({self.norm_groups}) must divide widths, found {list(self.widths)}")
        return self


class Sd21Vae(Encoder):
    """Maps are the levels of the network's encoder."""

    weights = (WEIGHTS,)
    codes = True
    config: Config

    def __init__(self, config: Config, weight_files: Mapping[str, Path]) -> None:
        super().__init__(config, weight_files)
        with torch.random.fork_rng(devices=[]):  # the layers start at random before the weights are read
            self.network = SdAutoencoder(config.widths, config.blocks, config.channels, config.norm_groups)
        path = weight_files[WEIGHTS]
        try:
            self.network.load_state_dict(named_as_now(load_file(path)))
        except (RuntimeError, SafetensorError) as error:
            raise SrledgerError(
                "weights of another architecture", where=path, found=str(error).splitlines()[-1].strip(),
                expected="the autoencoder of Stable Diffusion as diffusers has it", mend=f"rm {path} && make weights",
            ) from error  # fmt: skip
        self.eval().requires_grad_(False)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return self.network.encoder.levels(self._prepared(images))

    @property
    def latent_channels(self) -> int:
        return self.config.channels

    @property
    def factor(self) -> int:
        return 2 ** (len(self.config.widths) - 1)

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """See ``Encoder.encode``; past the border the edge pixels are repeated to whole latent pixels."""
        return self.network.mean(self._prepared(images)).float() * self.config.scaling

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return (self.network.decode(latents / self.config.scaling).float() + 1) / 2

    def _prepared(self, images: torch.Tensor) -> torch.Tensor:
        padding = (0, -images.shape[-1] % self.factor, 0, -images.shape[-2] % self.factor)
        return F.pad(symmetric(images), padding, mode="replicate")
