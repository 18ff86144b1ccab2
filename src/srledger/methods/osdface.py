"""OSDFace (Wang et al. 2025): a frozen diffusion prior under low-rank adapters restores a face in one step.

The degraded image's latents are taken for noised ones: the adapted prior, under prompts (the row's prior; ``uniform``:
none), tells the noise in them at step T_L, and what is left is decoded by the frozen autoencoder. Images are compared
by pixels, by structure and texture (EA-DISTS' form on the encoder's maps), and by a frozen network that knows faces;
a discriminator judges their latents under noise. ``regime: multi_step`` is the control that the referee asked for: the
same parts in a sampler of several steps. Section G of docs/methods.md says the rest.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import nn

from srledger.diffusion.conditional_unet import ConditionalUnet
from srledger.diffusion.edges import ea_dists
from srledger.diffusion.images import symmetric, upsample
from srledger.diffusion.latent_gan import LatentDiscriminator, discriminator_loss, generator_loss
from srledger.diffusion.lora import Widened, add_adapters, no_learning
from srledger.diffusion.noise import ImageNoise
from srledger.diffusion.stable_diffusion import Views, ddim_levels, nearest_level, stable_diffusion_schedule
from srledger.diffusion.steps import ddim_step
from srledger.errors import SrledgerError
from srledger.methods import Batch, Method
from srledger.plugins import PluginConfig

if TYPE_CHECKING:
    from srledger.encoders import Encoder

HEAD_WIDTH = 512  # of the discriminator's hidden layer (js43o, grade B)


class Config(PluginConfig):
    """Regime, adapters and losses. Grades: A the authors' release, B re-trainings of others, C a choice of ours.

    Class attributes:
        sampling_settings: settings that no loss reads, so that one network can be sampled with several values of each.
    """

    sampling_settings: ClassVar[frozenset[str]] = frozenset({"sampling_steps"})

    regime: Literal["one_step", "multi_step"] = Field(
        default="one_step", description="one_step: from the LQ latents themselves (A); multi_step: the control (C)"
    )
    sampling_steps: int = Field(
        default_factory=lambda found: 1 if found.get("regime") == "one_step" else 8,
        ge=1,
        description="of DDIM, eta 0; one_step takes one",
    )
    start_alphas_cumprod: float = Field(
        default=0.42609, gt=0, lt=1, description="T_L is the step whose alphas_cumprod is nearest: 399 (A)"
    )
    concatenate_lq: bool = Field(
        default=False,
        description="the LQ latents beside the network's input, from zero weights; the control sets it in both "
        "regimes, so that they have as many parameters (C)",
    )
    lora_rank: int = Field(default=16, ge=1, description="A; the discriminator's too (C)")
    lora_alpha: float = Field(default=16.0, gt=0, description="over the rank it is the adapters' factor; A")
    token_channels: int = Field(default=256, ge=1, description="of the prior's prompts; as many with the prior uniform")
    adapter_width: int = Field(default=256, ge=1, description="between a prompt and the context; A, for prompts of 512")
    mse_weight: float = Field(
        default=1.0, ge=0, description="one_step: of pixels in [-1, 1] (B); multi_step: of the noise (C)"
    )
    ea_dists_weight: float = Field(
        default=1.0, ge=0, description="on its form with the row's own encoder: enc_ea_dists (B for DISTS on VGG16)"
    )
    identity_weight: float = Field(
        default=0.1, ge=0, description="where the row's encoder comes with a judge; else there is no such term; B"
    )
    gan_weight: float = Field(default=0.01, ge=0, description="0: there is no discriminator; B, 0.01 to 0.8")
    gan_warm_up: float = Field(
        default=0.13, ge=0, lt=1, description="share of the training before the discriminator's first step; B"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.regime == "one_step" and self.sampling_steps != 1:
            raise ValueError(f"regime one_step takes one step, found sampling_steps {self.sampling_steps}")
        if not self.mse_weight + self.ea_dists_weight > 0:
            raise ValueError("mse_weight and ea_dists_weight are both 0: nothing tells what the image is")
        most = nearest_level(self.start_alphas_cumprod)
        if self.sampling_steps > most:
            raise ValueError(f"sampling_steps must not exceed the {most} steps up to T_L, found {self.sampling_steps}")
        return self


class PromptAdapter(nn.Sequential):
    """Each prompt by itself: linear, SiLU, linear, SiLU (TwoLayerConv1x1 of the release)."""

    def __init__(self, token_channels: int, width: int, context_channels: int) -> None:
        super().__init__(
            nn.Linear(token_channels, width), nn.SiLU(), nn.Linear(width, context_channels), nn.SiLU()
        )  # fmt: skip


class OsdFace(Method):
    """The adapted copy of the encoder's denoiser, the prompts' adapter and the discriminator, on the frozen encoder.

    Class attributes:
        gives_context: it builds on a denoiser that takes a context, and on no other.
        takes_judge: its row may name a pair of encoders; the second is the recogniser of the identity term.

    Buffers:
        steps_taken: how often the loss was asked for; it tells whose turn it is.
    """

    builds_on = ("codes", "denoises")
    gives_context: ClassVar[bool] = True
    takes_judge: ClassVar[bool] = True
    reads_tokens = True
    any_scale_factor = True
    config: Config
    steps_taken: torch.Tensor

    def __init__(self, config: Config, scale_factor: int, encoder: Encoder) -> None:
        super().__init__(config, scale_factor)
        self.encoder = encoder.eval().requires_grad_(False)
        prior = encoder.denoiser
        assert isinstance(prior, ConditionalUnet)
        self.network = copy.deepcopy(prior)
        add_adapters(self.network, config.lora_rank, config.lora_alpha)
        if config.concatenate_lq:
            self.network.conv_in = Widened(self.network.conv_in, encoder.latent_channels)
        self.adapter = PromptAdapter(config.token_channels, config.adapter_width, encoder.context_channels)
        self.discriminator = (
            LatentDiscriminator(prior, config.lora_rank, config.lora_alpha, HEAD_WIDTH) if config.gan_weight else None
        )
        self.start = nearest_level(config.start_alphas_cumprod)
        self.register_buffer("steps_taken", torch.tensor(0))

    @classmethod
    def check_tokens(cls, config: PluginConfig, width: int) -> None:
        """Raise ValueError where a row's settings are for prompts of another ``width``."""
        assert isinstance(config, Config)
        if config.token_channels != width:
            raise ValueError(f"token_channels is {config.token_channels}, its prior's tokens have {width} channels")

    @classmethod
    def network_evaluations(cls, config: PluginConfig) -> int:
        """One a step."""
        assert isinstance(config, Config)
        return config.sampling_steps

    def train(self, mode: bool = True) -> Self:
        """Set the mode of what learns; the encoder's is fixed."""
        super().train(mode)
        self.encoder.eval()
        return self

    def encoded(self, images: torch.Tensor) -> torch.Tensor:
        """Latents of images in [0, 1], of whole latent pixels; no gradient."""
        with torch.no_grad():
            return self.encoder.encode(images).float()

    def decoded(self, latents: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """Images of latents, nominally in [0, 1], as large as ``like``; a gradient passes."""
        return self.encoder.decode(latents)[..., : like.shape[-2], : like.shape[-1]].float()

    def context(self, prior: torch.Tensor) -> torch.Tensor:
        """The denoiser's context ``B x N x context_channels`` of prompts ``B x token_channels x rows x columns``.

        A constant map says nothing: one vector of zeros, as where the frozen denoiser was given no caption. Raises
        SrledgerError for prompts of another width, and for maps that say something.
        """
        if prior.shape[1] == 1:
            if not torch.equal(prior.amax(dim=(1, 2, 3)), prior.amin(dim=(1, 2, 3))):
                raise SrledgerError(
                    "an attention map is no prompt", where="method osdface", found="a prior that makes maps",
                    expected="a prior that makes tokens, or uniform", mend="give the row another prior",
                )  # fmt: skip
            return prior.new_zeros(len(prior), 1, self.encoder.context_channels)
        if prior.shape[1] != self.config.token_channels:
            raise SrledgerError(
                "the prior's tokens are of another width", where="method osdface", found=f"{prior.shape[1]} channels",
                expected=f"token_channels {self.config.token_channels}", mend="set the row's config.token_channels",
            )  # fmt: skip
        return self.adapter(prior.flatten(2).transpose(1, 2))

    def noise_in(
        self, z: torch.Tensor, time: torch.Tensor, degraded: torch.Tensor, context: torch.Tensor
    ) -> torch.Tensor:
        """What the adapted prior takes for noise in ``z`` (``B x C x h x w``) at ``time`` (``B``, from 0), float32."""
        given = torch.cat([z, degraded], dim=1) if self.config.concatenate_lq else z
        return self.network(given, time, context).float()

    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        """The restorer's loss or, from the end of the warm-up at every other step, the discriminator's."""
        turn = int(self.steps_taken) % 2
        self.steps_taken += 1
        if self.discriminator is None or batch.progress < self.config.gan_warm_up:
            return self._restorer_loss(batch, judged=False)
        terms = self._restorer_loss(batch, judged=True) if turn == 0 else self._discriminator_loss(batch)
        # The curves are means over all steps, and these terms come at every other.
        return {name: value if name == "total" else 2 * value for name, value in terms.items()}

    def _restorer_loss(self, batch: Batch, judged: bool) -> dict[str, torch.Tensor]:
        config, context = self.config, self.context(batch.prior)
        restored, terms = self._restored(batch, context)
        sr = self.decoded(restored, batch.hr)
        with torch.autocast(sr.device.type, enabled=False):
            if "mse" not in terms:
                terms["mse"] = F.mse_loss(symmetric(sr), symmetric(batch.hr))
            total = config.mse_weight * terms["mse"]
            if config.ea_dists_weight:
                terms["enc_ea_dists"] = ea_dists(sr, batch.hr, self.encoder)
                total = total + config.ea_dists_weight * terms["enc_ea_dists"]
            if config.identity_weight and self.encoder.judge is not None:
                terms["identity"] = identity_loss(self.encoder.judge.to(sr.device), sr, batch.hr)
                total = total + config.identity_weight * terms["identity"]
        if judged:
            assert self.discriminator is not None
            views = Views.drawn(len(restored), batch.generator)
            with no_learning(self.discriminator):
                terms["gan"] = generator_loss(self._judged(restored, views, context.detach(), batch.generator))
            total = total + config.gan_weight * terms["gan"]
        return {**terms, "total": total}

    def _restored(self, batch: Batch, context: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The estimate of the HR latents, in one shot, and the terms that come with it."""
        degraded = self.encoded(upsample(batch.lr, self.scale_factor))
        if self.config.regime == "one_step":
            return self._one_step(degraded, context), {}
        latents = self.encoded(batch.hr)
        views = Views.drawn(len(latents), batch.generator, self.start)
        eps = torch.randn(latents.shape, generator=batch.generator, device=latents.device)
        z = views.under(latents, eps)
        found = self.noise_in(z, views.time, degraded, context)
        return views.image(found, z), {"mse": F.mse_loss(found, eps)}

    def _discriminator_loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Real and restored latents under one draw of the step; nothing else learns."""
        with torch.no_grad():
            context = self.context(batch.prior)
            fake, _ = self._restored(batch, context)
        real, views = self.encoded(batch.hr), Views.drawn(len(fake), batch.generator)
        total = discriminator_loss(
            *(self._judged(latents, views, context, batch.generator) for latents in (real, fake))
        )
        return {"discriminator": total, "total": total}

    def _judged(
        self, latents: torch.Tensor, views: Views, context: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        assert self.discriminator is not None
        noise = torch.randn(latents.shape, generator=generator, device=latents.device)
        return self.discriminator(views.under(latents, noise), views.time, context).float()

    def _one_step(self, degraded: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        at = Views.at(self.start, len(degraded), degraded.device)
        return at.image(self.noise_in(degraded, at.time, degraded, context), degraded)

    def _sampled(self, degraded: torch.Tensor, context: torch.Tensor, seeds: Sequence[int]) -> torch.Tensor:
        """DDIM (eta 0) from the LQ latents under noise at T_L."""
        levels = ddim_levels(self.start, self.config.sampling_steps)
        noise = ImageNoise("osdface", seeds, 0, degraded.device).draw(degraded.shape)
        z = Views.at(self.start, len(degraded), degraded.device).under(degraded, noise)
        gammas = stable_diffusion_schedule().gammas.tolist()
        for level, after in itertools.pairwise(levels):
            at = Views.at(level, len(z), z.device)
            eps = self.noise_in(z, at.time, degraded, context)
            z = ddim_step(at.image(eps, z), eps, gammas[after])
        return z

    def restore(self, lr: torch.Tensor, prior: torch.Tensor, seeds: Sequence[int]) -> torch.Tensor:
        """The image in one step, which draws nothing; or sampled, each image by its own noise."""
        enlarged = upsample(lr, self.scale_factor)
        degraded, context = self.encoded(enlarged), self.context(prior)
        if self.config.regime == "one_step":
            return self.decoded(self._one_step(degraded, context), enlarged)
        return self.decoded(self._sampled(degraded, context, seeds), enlarged)


def identity_loss(judge: Encoder, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    """``1 - cos`` of what a frozen network makes of images in [0, 1], averaged over the batch; a gradient to ``sr``."""
    with torch.no_grad():
        known = judge.embed(hr)
    return 1 - F.cosine_similarity(judge.embed(sr), known, dim=1).mean()
