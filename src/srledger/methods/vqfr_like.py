"""A codebook restorer of faces in the manner of VQFR (Gu et al. 2022): codes for texture, LQ features for fidelity.

On the two frozen autoencoders of OSDFace's embedder: features of the degraded image, moved towards the codes of the
clean one, are replaced by their nearest HQ codes, of which the frozen HQ decoder makes texture features and an image. A
decoder beside it sees texture and LQ features on every grid, then both images, and tells what the codes' image lacks.
Section H of docs/methods.md says what VQFR has beyond this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import nn

from srledger.diffusion.autoencoder import Residual
from srledger.diffusion.edges import ea_dists
from srledger.diffusion.images import symmetric, upsample
from srledger.diffusion.unet import group_norm
from srledger.encoders import Encoder
from srledger.encoders._quantiser import Quantised
from srledger.encoders.vre import Vre
from srledger.errors import SrledgerError
from srledger.methods import Batch, Method
from srledger.plugins import PluginConfig

TO_PIXELS = 4  # layers at the end of the frozen decoder that make pixels of its finest features


class Config(PluginConfig):
    """Sizes and losses. Grades: A the authors' release (VQFR v1 and v2), C a choice of ours.

    Class attributes:
        sampling_settings: settings that no loss reads, so that one network can restore with several values of each.
    """

    sampling_settings: ClassVar[frozenset[str]] = frozenset({"fidelity_ratio"})

    parallel_decoder: bool = Field(
        default=True, description="false: there is no decoder beside the frozen one; the image is that of the codes"
    )
    width: int = Field(default=64, ge=4, description="channels of the parallel decoder, on every grid (C)")
    blocks: int = Field(default=1, ge=1, description="residual blocks of the parallel decoder on every grid; A")
    feature_blocks: int = Field(
        default=2, ge=0, description="residual blocks between the frozen LQ features and the choice of codes (C)"
    )
    norm_groups: int = Field(default=32, ge=1, description="at most")
    pixel_weight: float = Field(default=1.0, ge=0, description="of L1 of images in [-1, 1]; A")
    code_weight: float = Field(
        default=1.0, ge=0, description="of the MSE of features to the HQ codes of the clean image; 0: their choice "
        "stays the frozen embedder's; A"
    )  # fmt: skip
    ea_dists_weight: float = Field(
        default=0.0, ge=0, description="of EA-DISTS' form on the HQ branch's maps: enc_ea_dists, OSDFace's term (C)"
    )
    fidelity_ratio: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="of what the parallel decoder adds, when restoring; 0: the codes alone; A, of features",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.parallel_decoder and not self.code_weight:
            raise ValueError("parallel_decoder is false and code_weight 0: there is nothing to learn")
        if self.parallel_decoder and not self.pixel_weight + self.ea_dists_weight > 0:
            raise ValueError("pixel_weight and ea_dists_weight are both 0: the parallel decoder has nothing to learn")
        return self


class CodeFeatures(nn.Module):
    """Residual blocks that move features ``B x d x h x w`` to where clean codes are; at first they stay as they are."""

    def __init__(self, channels: int, blocks: int, groups: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(Residual(channels, groups) for _ in range(blocks)), group_norm(groups, channels), nn.SiLU(),
            _zero(nn.Conv2d(channels, channels, 3, 1, 1)),
        )  # fmt: skip

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features + self.layers(features).float()


class ParallelDecoder(nn.Module):
    """What the codes' image lacks of the degraded one; at first nothing.

    The last convolution sees both images beside what was merged (in VQFR v1 the degraded one): what was legible before
    need not pass through features that were learnt to tell codes apart.

    Args:
        channels: of texture and LQ features on every grid, finest first.
        patch_px: side of the patches of the finest grid.
        width, blocks, groups: as Config has them.
    """

    def __init__(self, channels: Sequence[int], patch_px: int, width: int, blocks: int, groups: int) -> None:
        super().__init__()
        self.patch_px = patch_px
        self.levels = nn.ModuleList()  # coarsest first
        for level, both in enumerate(reversed(channels)):
            merged = nn.Conv2d(2 * both + (width if level else 0), width, 3, 1, 1)
            self.levels.append(nn.Sequential(merged, *(Residual(width, groups) for _ in range(blocks))))
        of_patch = 3 * patch_px**2
        self.last = _zero(nn.Conv2d(width + 2 * of_patch, of_patch, 3, 1, 1))

    def forward(
        self, texture: Sequence[torch.Tensor], degraded: Sequence[torch.Tensor], images: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """An image of differences, float32 ``B x 3 x H x W``.

        Args:
            texture, degraded: maps of every grid, coarsest first.
            images: of the codes, and the degraded one: ``B x 3 x H x W`` in [-1, 1], nominally.
        """
        found: list[torch.Tensor] = []
        for level, given in zip(self.levels, zip(texture, degraded, strict=True), strict=True):
            found = [level(torch.cat([*(F.interpolate(before, scale_factor=2) for before in found), *given], dim=1))]
        patches = [F.pixel_unshuffle(image, self.patch_px) for image in images]
        return F.pixel_shuffle(self.last(torch.cat([*found, *patches], dim=1)), self.patch_px).float()


class Degraded(NamedTuple):
    """What is known of degraded images; past the border their edge pixels are repeated to whole features.

    Attributes:
        images: ``B x 3 x H x W`` in [-1, 1].
        maps: of the frozen LQ branch, coarsest first.
        features: float32 ``B x d x h x w``, which choose the codes.
    """

    images: torch.Tensor
    maps: list[torch.Tensor]
    features: torch.Tensor


class VqfrLike(Method):
    """Two small networks between and beside frozen autoencoders; it draws nothing, and sees no prior."""

    # What Vre alone has. The base's type doesn't list it yet: that file is part of what every training's hash is of.
    builds_on = ("restore_by_codes",)  # type: ignore[assignment]
    any_scale_factor = True
    config: Config

    def __init__(self, config: Config, scale_factor: int, encoder: Encoder) -> None:
        super().__init__(config, scale_factor)
        if not isinstance(encoder, Vre):
            raise SrledgerError(
                "codes restore only where clean and degraded features are associated", where="method vqfr_like",
                found=type(encoder).__name__, expected="the encoder vre", mend="give the row `encoder: vre`",
            )  # fmt: skip
        self.encoder = encoder.eval().requires_grad_(False)
        sizes = encoder.config
        self.code_features = CodeFeatures(sizes.code_channels, config.feature_blocks, config.norm_groups)
        self.parallel = (
            ParallelDecoder(sizes.widths, sizes.patch_px, config.width, config.blocks, config.norm_groups)
            if config.parallel_decoder
            else None
        )

    def train(self, mode: bool = True) -> Self:
        """Set the mode of what learns; the encoder's is fixed."""
        super().train(mode)
        self.encoder.eval()
        return self

    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        """L1 of pixels, MSE of features to clean codes and, if asked for, EA-DISTS.

        Beside them ``right_codes`` is told: the share of places whose code is the clean image's. Codes are a choice:
        only the MSE teaches the features, only the other terms the parallel decoder.
        """
        config = self.config
        degraded = self._degraded(upsample(batch.lr, self.scale_factor))
        with torch.no_grad():
            clean = self._nearest(self.encoder.hq.features(batch.hr))
        chosen = self._nearest(degraded.features)
        sr = self._image(chosen.values, degraded, 1.0)[..., : batch.hr.shape[-2], : batch.hr.shape[-1]]
        with torch.autocast(sr.device.type, enabled=False):
            terms = {
                "pixel": F.l1_loss(symmetric(sr), symmetric(batch.hr)),
                "codes": F.mse_loss(degraded.features, clean.values),
                "right_codes": (chosen.indices == clean.indices).float().mean(),
            }
            total = config.pixel_weight * terms["pixel"] + config.code_weight * terms["codes"]
            if config.ea_dists_weight:
                terms["enc_ea_dists"] = ea_dists(sr, batch.hr, self.encoder)
                total = total + config.ea_dists_weight * terms["enc_ea_dists"]
        return {**terms, "total": total}

    def restore(self, lr: torch.Tensor, prior: torch.Tensor, seeds: Sequence[int]) -> torch.Tensor:
        """The image of the codes with ``fidelity_ratio`` of what the parallel decoder adds."""
        enlarged = upsample(lr, self.scale_factor)
        degraded = self._degraded(enlarged)
        image = self._image(self._nearest(degraded.features).values, degraded, self.config.fidelity_ratio)
        return image[..., : enlarged.shape[-2], : enlarged.shape[-1]]

    def _degraded(self, images: torch.Tensor) -> Degraded:
        """Of degraded images in [0, 1]; a gradient reaches what moves the features, and nothing frozen."""
        branch = self.encoder.lq
        padding = (0, -images.shape[-1] % branch.factor, 0, -images.shape[-2] % branch.factor)
        whole = F.pad(images, padding, mode="replicate")
        with torch.no_grad():
            maps = branch.maps(whole)
            features = branch.to_codes(maps[-1]).float()
        return Degraded(symmetric(whole), maps[::-1], self.code_features(features))

    @torch.no_grad()
    def _nearest(self, features: torch.Tensor) -> Quantised:
        """The nearest HQ codes."""
        return self.encoder.hq.codebook(features)

    def _image(self, codes: torch.Tensor, degraded: Degraded, ratio: float) -> torch.Tensor:
        """float32 images of codes, nominally in [0, 1], with ``ratio`` of what the parallel decoder adds."""
        texture, image = self._decoded(codes)
        if self.parallel is not None and ratio:
            image = image + ratio * self.parallel(texture, degraded.maps, (image, degraded.images))
        return (image + 1) / 2

    @torch.no_grad()
    def _decoded(self, codes: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """The frozen decoder's features of every grid, coarsest first, and its images, float32 in [-1, 1]."""
        texture, features = [], codes
        for layer in self.encoder.hq.decoder[:-TO_PIXELS]:
            if isinstance(layer, nn.Upsample):
                texture.append(features)
            features = layer(features)
        return [*texture, features], self.encoder.hq.decoder[-TO_PIXELS:](features).float()


def _zero(layer: nn.Conv2d) -> nn.Conv2d:
    """The layer, starting at zero."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer
