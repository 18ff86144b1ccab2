"""DINOv2 ViT-B/14 with its published weights: the file of torch.hub and timm, the eyes of VOSR-0.5B."""

from __future__ import annotations

from pydantic import Field

from srledger.encoders._dinov2 import PATCH_PX, DinoV2, DinoV2Config


class Config(DinoV2Config):
    """At which size it looks, and whose tokens it gives; the defaults are VOSR's: 32 x 32 tokens of the ninth block."""

    size_px: int = Field(
        default=448, ge=PATCH_PX, multiple_of=PATCH_PX, description="side that an LR image is enlarged to"
    )
    token_block: int = Field(default=8, ge=0, lt=12, description="whose tokens are given, from 0")


class DinoV2VitB14(DinoV2):
    """12 blocks of width 768, 12 heads, patches of 14 px: 86.6 million parameters at 518 px."""

    weights = ("dinov2_vitb14",)
    model = "vit_base_patch14_dinov2"
    width = 768
    config: Config
