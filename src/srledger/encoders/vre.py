"""OSDFace's visual representation embedder: what a degraded face shows, said in codes (specification I.2.1 to I.2.3).

Two autoencoders with a codebook each, one of clean (HQ) and one of degraded (LQ) images, learn in one training: first
HQ, then LQ, each to give its own images back, then both with the association of their features switched on; the parts
are the authors' 50, 10 and 10 epochs. What is used later is frozen: the distinct codes of the LQ image are prompts of a
diffusion model, and the nearest HQ codes of LQ features make a restored image.

Images are compared by L1 alone. The authors' perceptual and adversarial terms are left out: a discriminator would need
as long to learn as the small budgets here allow for all (DAEFR's starts after 30,000 steps), and pretrained networks
for the former are not at hand. So decoded images are blurred; the codes themselves need neither term.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

import torch
from pydantic import Field, model_validator

from srledger.encoders import Encoder, EncoderLearner
from srledger.encoders._association import Association, Scope
from srledger.encoders._quantiser import Codebook
from srledger.encoders._vq_autoencoder import VqAutoencoder
from srledger.errors import SrledgerError
from srledger.methods import Batch
from srledger.plugins import PluginConfig

Branch = Literal["hq", "lq"]
LEAST_USAGE = 0.05  # of a codebook; below it all images get much the same codes


class Config(PluginConfig):
    """Sizes, and how it learns; by default f = 8 and 77 prompts of the 256 places of a face of 128 px."""

    patch_px: int = Field(default=2, ge=1, description="side of the patches that the networks see as pixels")
    widths: tuple[int, ...] = Field(default=(64, 128, 256), min_length=1, description="per level, finest first")
    blocks: int = Field(default=1, ge=1, description="residual blocks a level")
    norm_groups: int = Field(default=32, ge=1)
    codes: int = Field(default=1024, ge=2, description="in each of the two codebooks")
    code_channels: int = Field(default=256, ge=2, description="of a code, a prompt and a feature: d")
    prompts: int = Field(default=77, ge=2, description="distinct codes kept of an image, about 30 % of its places")
    commitment: float = Field(default=0.25, ge=0, description="beta: weight of features moving to their codes")
    usage_decay: float = Field(default=0.99, gt=0, lt=1, description="of the counts of used codes, per batch")
    revive: bool = Field(
        default=False, description="codes that are not used restart at features of the batch (ours; the authors' don't)"
    )
    gradient_weight: float = Field(default=0.0, ge=0, description="on the L1 distance of neighbours' differences")
    phases: tuple[float, float, float] = Field(
        default=(50.0, 10.0, 10.0), description="of the training, in proportion: HQ alone, LQ alone, both associated"
    )
    association_weight: float = Field(default=1.0, ge=0, description="in the third phase; 0: the ablation without")
    association_scope: Scope = Field(default="batch", description="among whose places a place is sought")
    hq_frozen: bool = Field(default=False, description="whether HQ stands still in the third phase")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.patch_px & (self.patch_px - 1):
            raise ValueError(f"patch_px must be a power of 2, found {self.patch_px}")
        for name in ("widths", "phases"):
            if min(getattr(self, name)) <= 0:
                raise ValueError(f"{name} must be positive, found {list(getattr(self, name))}")
        if self.prompts > self.codes:
            raise ValueError(f"prompts are distinct codes: {self.prompts} of {self.codes} can't be kept")
        return self

    @property
    def hq_share(self) -> float:
        """Of the training: HQ alone."""
        return self.phases[0] / sum(self.phases)

    @property
    def lq_end(self) -> float:
        """The progress at which the third phase begins."""
        return sum(self.phases[:2]) / sum(self.phases)


class Vre(Encoder):
    """Prompts of clean and of degraded images; its maps are the levels of the HQ branch's encoder."""

    learns = True
    learns_pairs = True
    prompts = True
    config: Config

    def __init__(self, config: Config, weight_files: Mapping[str, Path]) -> None:
        super().__init__(config, weight_files)
        self.hq, self.lq = (
            VqAutoencoder(
                config.patch_px, config.widths, config.blocks, config.norm_groups,
                Codebook(config.codes, config.code_channels, config.commitment, config.usage_decay),
            )
            for _ in range(2)
        )  # fmt: skip

    def branch(self, source: Branch) -> VqAutoencoder:
        """The autoencoder of clean (``hq``) or degraded (``lq``) images."""
        return self.hq if source == "hq" else self.lq

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return self.hq.maps(images)

    @classmethod
    def prompt_width(cls, config: PluginConfig) -> int:
        assert isinstance(config, Config)
        return config.code_channels

    @classmethod
    def prompt_count(cls, config: PluginConfig) -> int:
        assert isinstance(config, Config)
        return config.prompts

    def prompts_of(self, images: torch.Tensor, source: Branch) -> torch.Tensor:
        branch = self.branch(source)
        return branch.codebook.distinct_codes(branch.features(images), self.config.prompts)

    def restore_by_codes(self, lq_images: torch.Tensor) -> torch.Tensor:
        """Clean images of degraded ones, ``B x 3 x H x W`` nominally in [0, 1]: the nearest HQ codes of LQ features.

        That LQ features have near HQ codes is what the association is for. Gradients pass straight through the codes.
        """
        height, width = lq_images.shape[-2:]
        codes = self.hq.codebook(self.lq.features(lq_images)).values
        return self.hq.decode(codes)[..., :height, :width]

    def check_learned(self) -> None:
        """Raise SrledgerError where a codebook has collapsed: fewer than 5 % of its codes are used, or count for much.

        The perplexity is asked too because a code that restarted counts as used for a while wherever it lies.
        """
        for name in ("hq", "lq"):
            codebook = self.branch(name).codebook
            if min(float(codebook.usage), float(codebook.perplexity) / len(codebook.codes)) < LEAST_USAGE:
                raise SrledgerError(
                    f"the {name.upper()} codebook of the embedder has collapsed",
                    found=f"{int(codebook.used.sum())} of {len(codebook.codes)} codes in use, "
                    f"perplexity {float(codebook.perplexity):.1f}",
                    expected=f"at least {LEAST_USAGE:.0%} of the codes in use, and a perplexity of as many",
                    mend="set config.revive: true, or take fewer codes, more training.steps or training.weight_decay 0",
                )  # fmt: skip

    def learner(self, scale_factor: int) -> VreLearning:
        return VreLearning(self, scale_factor)


class VreLearning(EncoderLearner):
    """Trains the autoencoders by turns, then both together.

    Curves: ``pixel``, ``codes`` (L_VQ), ``usage`` and ``perplexity`` of each branch while it learns, and in the third
    phase ``association`` beside its ``chance`` level and the ``matching`` accuracy of each branch's places.

    Raises:
        SrledgerError: images of a task of another scale factor than 1, whose places have no counterparts.
    """

    def __init__(self, encoder: Vre, scale_factor: int) -> None:
        super().__init__()
        if scale_factor != 1:
            raise SrledgerError(
                "the embedder learns from degraded and clean images of one size", where="encoder vre",
                found=f"a task of scale factor {scale_factor}", expected="scale factor 1, as faces_blind has it",
                mend="give the encoder another task",
            )  # fmt: skip
        self.scale_factor = scale_factor
        self.encoder = encoder
        self.association = Association(encoder.config.association_scope)

    @property
    def learned(self) -> Vre:
        return self.encoder

    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        """The loss of the phase that ``batch.progress`` falls into."""
        config = self.encoder.config
        if batch.progress < config.hq_share:
            return self._reconstruction("hq", batch.hr, batch.generator)[1]
        if batch.progress < config.lq_end:
            return self._reconstruction("lq", batch.lr, batch.generator)[1]
        if config.hq_frozen:
            with torch.no_grad():
                clean, terms = self.encoder.hq.features(batch.hr), {"total": batch.hr.new_zeros(())}
        else:
            clean, terms = self._reconstruction("hq", batch.hr, batch.generator)
        degraded, terms_lq = self._reconstruction("lq", batch.lr, batch.generator)
        total = terms["total"] + terms_lq["total"]
        with torch.set_grad_enabled(torch.is_grad_enabled() and config.association_weight > 0):
            matching = self.association(clean, degraded)
        if config.association_weight:
            total = total + config.association_weight * matching.loss
        chance = self.association.chance_level(len(clean), clean.shape[-2] * clean.shape[-1])
        return {
            **terms, **terms_lq, "association": matching.loss, "chance": total.new_tensor(chance),
            "matching_hq": matching.accuracy_hq, "matching_lq": matching.accuracy_lq, "total": total,
        }  # fmt: skip

    def _reconstruction(
        self, source: Branch, images: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The features of a branch before they are quantised, and its terms; counts the codes."""
        branch, config = self.encoder.branch(source), self.encoder.config
        features = branch.features(images)
        if config.revive:
            branch.codebook.revive(features.detach(), generator)
        quantised = branch.codebook(features)
        branch.codebook.count_uses(quantised.indices)
        height, width = images.shape[-2:]
        wrong = 2 * (branch.decode(quantised.values)[..., :height, :width] - images)  # in [-1, 1], as others learn
        pixel = wrong.abs().mean()
        gradient = wrong.diff(dim=-1).abs().mean() + wrong.diff(dim=-2).abs().mean()
        return features, {
            f"pixel_{source}": pixel,
            f"codes_{source}": quantised.loss,
            f"usage_{source}": branch.codebook.usage,
            f"perplexity_{source}": branch.codebook.perplexity,
            "total": pixel + config.gradient_weight * gradient + quantised.loss,
        }
