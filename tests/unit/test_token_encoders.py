"""Encoders that give tokens: of which block, where they stand, and DINOv2 as its authors' code reads the file."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch

from srledger.encoders._dinov2 import DinoV2, DinoV2Config, resampled_positions
from srledger.encoders._imagenet import standardised
from srledger.encoders.dinov2_vitb14 import DinoV2VitB14
from srledger.encoders.dinov2_vitl14 import DinoV2VitL14
from srledger.encoders.tiny_dino_vit import Config, TinyDinoVit
from srledger.plugins import plugin_class, plugin_config
from srledger.seeds import torch_generator
from srledger.weights import catalogue

VIT = Config(patch_px=8, width=24, depth=4, heads=2, hidden=32, size_px=32)


def vit(**settings: object) -> TinyDinoVit:
    torch.manual_seed(0)
    return TinyDinoVit(VIT.model_copy(update=settings), {}).eval()


def images(height: int = 32, width: int = 40) -> torch.Tensor:
    return torch.rand(2, 3, height, width, generator=torch_generator("tokens"))


def test_tokens_are_those_of_a_block_before_any_norm() -> None:
    with torch.no_grad():
        maps = vit().forward(images())
        for block in range(3):
            tokens = vit(token_block=block).tokens(images())
            assert tokens.shape == (2, 24, 4, 5) and torch.equal(tokens, maps[block])
        last = vit(token_block=3).tokens(images())
    assert not torch.allclose(last, maps[3]), "the last map is behind the norm, tokens are not"
    assert torch.allclose(vit().vit.norm(last.movedim(1, -1)).movedim(-1, 1), maps[3], atol=1e-6)


@pytest.mark.parametrize(("depth", "block"), [(1, 0), (2, 0), (3, 1), (4, 2), (12, 8), (24, 17)])
def test_by_default_the_block_is_three_quarters_up_as_in_vosr(depth: int, block: int) -> None:
    assert Config(depth=depth).block_of_tokens == block


def test_a_block_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="token_block 4 is none of the 4 blocks"):
        Config(depth=4, token_block=4)


def test_a_token_stands_where_its_patch_is() -> None:
    grey = torch.full((1, 3, 32, 32), 0.5)
    lit = grey.clone()
    lit[..., 8:16, 24:32] = 1.0  # row 1, column 3
    with torch.no_grad():
        moved = (vit(token_block=0).tokens(lit) - vit(token_block=0).tokens(grey)).square().sum(dim=1)[0]
    assert divmod(int(moved.argmax()), 4) == (1, 3)


def test_settings_of_encoders_made_before_there_were_tokens_keep_their_hash() -> None:
    """Rows and priors without tokens must not be trained anew for a setting that they do not use."""
    assert "token_block" not in Config().model_dump(mode="json")
    assert Config(token_block=2).model_dump(mode="json")["token_block"] == 2


def test_an_encoder_without_tokens_says_so() -> None:
    resnet = plugin_class("encoders", "tiny_dino_resnet")(plugin_config("encoders", "tiny_dino_resnet")(), {})
    assert not resnet.tokenises
    for ask in (lambda: resnet.tokens(images()), lambda: resnet.token_px(resnet.config)):
        with pytest.raises(TypeError, match="has no tokens"):
            ask()


@timm.models.register_model
def small_patch14_dinov2(
    img_size: int, dynamic_img_size: bool = False, **more: object
) -> timm.models.VisionTransformer:
    """DINOv2's architecture, as timm builds its sizes, in a size for tests."""
    return timm.models.VisionTransformer(
        img_size, 14, num_classes=0, embed_dim=24, depth=4, num_heads=2, init_values=1e-5,
        dynamic_img_size=dynamic_img_size,
    )  # fmt: skip


class Small(DinoV2):
    weights = ("small",)
    model = "small_patch14_dinov2"
    width = 24


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, torch.Tensor]]:
    """A file as the authors publish it: positions of 37 x 37 patches, and the mask token of their training."""
    torch.manual_seed(0)
    tensors = timm.create_model(Small.model, num_classes=0, img_size=518).state_dict()
    for value in tensors.values():  # what timm draws is nearly nothing: layer scales of 1e-5
        value.copy_(torch.randn(value.shape) * 0.05 + (1.0 if value.ndim == 1 else 0.0))
    tensors["mask_token"] = torch.zeros(1, 24)
    path = tmp_path_factory.mktemp("weights") / "small.pth"
    torch.save(tensors, path)
    return path, tensors


def test_a_published_dinov2_gives_tokens_of_one_block_and_the_class_token(
    published: tuple[Path, dict[str, torch.Tensor]],
) -> None:
    path, tensors = published
    before = torch.get_rng_state()
    encoder = Small(DinoV2Config(size_px=56, token_block=2), {"small": path})
    assert torch.equal(torch.get_rng_state(), before), "what is drawn elsewhere does not hang on it"
    assert not encoder.training and not any(value.requires_grad for value in encoder.parameters())
    assert encoder.token_px(encoder.config) == 14 and encoder.token_width(encoder.config) == 24
    seen = images(56, 56)
    with torch.no_grad():
        tokens, maps, vectors = encoder.tokens(seen), encoder(seen), encoder.embed(seen)
        by_hand = encoder.vit.patch_embed(standardised(seen)).flatten(1, 2)
        by_hand = torch.cat([tensors["cls_token"].expand(2, -1, -1), by_hand], dim=1)
        by_hand = by_hand + resampled_positions(tensors["pos_embed"], 4)
        for block in encoder.vit.blocks[:3]:
            by_hand = block(by_hand)
    assert tokens.shape == (2, 24, 4, 4) and len(maps) == 4 and vectors.shape == (2, 24)
    assert torch.allclose(tokens, by_hand[:, 1:].transpose(1, 2).unflatten(2, (4, 4)), atol=1e-4)
    assert torch.allclose(maps[2], tokens, atol=1e-5)
    with torch.no_grad():
        assert encoder.tokens(images(56, 42)).shape == (2, 24, 4, 3)


def test_positions_are_resampled_by_the_authors_factor() -> None:
    """A ramp stays one; its steps are n / (side + 0.1) between the centres of patches, and not n / side."""
    ramp = torch.arange(37.0).expand(37, 37)
    positions = torch.cat([torch.full((1, 1, 1), 7.0), ramp.reshape(1, -1, 1)], dim=1)
    assert torch.equal(resampled_positions(positions, 37), positions)
    found = resampled_positions(positions, 4)
    assert found.shape == (1, 1 + 4 * 4, 1) and found[0, 0, 0] == 7
    rows = found[0, 1:, 0].reshape(4, 4)
    theirs, timms = ((torch.arange(4) + 0.5) * 37 / side - 0.5 for side in (4.1, 4.0))
    assert (rows - theirs).abs().max() < 0.06, "this kernel's own ripple on a ramp"
    assert (rows - timms).abs().max() > 0.5


@pytest.mark.parametrize(
    ("encoder", "parameters", "depth", "block"),
    [(DinoV2VitB14, 86_580_480, 12, 8), (DinoV2VitL14, 304_368_640, 24, 17)],
)
def test_a_size_of_dinov2_is_the_published_one(encoder: type[DinoV2], parameters: int, depth: int, block: int) -> None:
    config = plugin_config("encoders", encoder.weights[0])()
    with torch.device("meta"):
        model = timm.create_model(encoder.model, num_classes=0, img_size=518)
    mask_token = encoder.width  # counted by the authors, and of no use here
    assert sum(value.numel() for value in model.parameters()) + mask_token == parameters
    assert len(model.blocks) == depth and model.embed_dim == encoder.width == encoder.token_width(config)
    assert (config.size_px // 14, config.token_block) == (32, block), "VOSR's 32 x 32 tokens"
    with pytest.raises(ValueError, match="token_block"):
        type(config)(token_block=depth)
    with pytest.raises(ValueError, match="size_px"):
        type(config)(size_px=450)
    entry = catalogue()[encoder.weights[0]]
    assert entry.sha256 != "unknown" and entry.licence == "Apache-2.0"
