"""DINOv2 ViT-L/14 with its published weights: the file of torch.hub and timm, the eyes of VOSR-1.4B."""

from __future__ import annotations

from pydantic import Field

from srledger.encoders._dinov2 import PATCH_PX, DinoV2, DinoV2Config


class Config(DinoV2Config):
    """At which size it looks, and whose tokens it gives; the defaults are VOSR's: 32 x 32 tokens of the 18th block."""

    size_px: int = Field(
        default=448, ge=PATCH_PX, multiple_of=PATCH_PX, description="side that an LR image is enlarged to"
    )
    token_block: int = Field(default=17, ge=0, lt=24, description="whose tokens are given, from 0")


class DinoV2VitL14(DinoV2):
    """24 blocks of width 1024, 16 heads, patches of 14 px: 304.4 million parameters at 518 px."""

    weights = ("dinov2_vitl14",)
    model = "vit_large_patch14_dinov2"
    width = 1024
    config: Config
