"""VOSR on images larger than a tile: velocities that are blended, and memory that does not grow with the image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from vosr_tools import TOKENS, CoarseCodec, calls_of, images, tiny, token_prior

from srledger.data.bundled_photos import read_photo
from srledger.diffusion.tiles import weights_of, windows_over
from srledger.methods import vosr


def test_tiles_are_whole_cells() -> None:
    with pytest.raises(ValueError, match="tile_px must be a multiple of patch x codec factor, 4; got 18"):
        tiny(tile_px=18)


@pytest.mark.parametrize("tile_px", [32, 40, 512])
@pytest.mark.parametrize("one_step", [False, True])
def test_a_tile_that_covers_the_image_changes_no_bit(tile_px: int, one_step: bool) -> None:
    lr, prior = images(2, 3, 30, 26), token_prior(2, TOKENS, 4, 4)
    whole, tiled = (tiny(one_step=one_step, tile_px=side).eval() for side in (None, tile_px))
    with torch.inference_mode():
        assert torch.equal(whole.restore(lr, prior, [0, 1]), tiled.restore(lr, prior, [0, 1]))


def test_a_tile_has_the_tokens_of_its_place() -> None:
    """Of 4 x 4 tokens over 64 px, a tile of the last 32 px sees the last two rows and columns."""
    method = tiny(tile_px=32, guidance=1.0, sampling_steps=1).eval()
    calls, prior = calls_of(method), token_prior(1, TOKENS, 4, 4)
    with torch.inference_mode():
        method.restore(images(1, 3, 64, 64), prior, [0])
        expected = method.network.embed(prior.permute(0, 2, 3, 1))
        assert len(calls) == 9 and {call[0].shape[-2:] for call in calls} == {(16, 16)}
        assert torch.allclose(calls[-1][3], expected[:, 2:, 2:].flatten(1, 2), atol=1e-6)
        assert torch.allclose(calls[4][3], expected[:, 0:4, 0:4][:, 1:3, 1:3].flatten(1, 2), atol=1e-6) or (
            calls[4][3].shape[1] > 4
        )
    assert vosr.cells_of(14, 46, 64, 4) == (0, 3) and vosr.cells_of(48, 64, 50, 4) == (3, 4)


def test_tiles_of_a_smooth_image_leave_no_seam() -> None:
    """Against tiles laid side by side: there the velocity steps where one ends, here nowhere more than elsewhere."""
    across = torch.linspace(0, 1, 128)
    smooth = (0.5 + 0.3 * torch.sin(2 * across[:, None] + across[None])).expand(1, 3, 128, 128)
    method, time = tiny(tile_px=64, guidance=1.0).eval(), torch.tensor([0.6])
    with torch.inference_mode():
        z = method.encoded(smooth)
        velocity = method._velocity(z, torch.ones(1, 1, 128, 128), 128, 128)(z, time)
        tokens = method.network.embed(torch.zeros(1, 1, TOKENS))
        beside = torch.cat(
            [
                torch.cat([method.network(part, part, time, tokens) for part in half.split(32, dim=3)], dim=3)
                for half in z.split(32, dim=2)
            ],
            dim=2,
        )

    def steps(found: torch.Tensor) -> torch.Tensor:
        """Between neighbouring patches of a row, the mean over channels and rows."""
        return F.avg_pool2d(found, 2).diff(dim=3).abs().mean(dim=(0, 1, 2))

    blended, cut = steps(velocity), steps(beside)
    at = 15  # from the 16th patch to the 17th: 64 px
    elsewhere = [k for k in range(len(cut)) if k != at]
    assert float(cut[at]) > 1.5 * float(cut[elsewhere].max())
    assert float(blended.max()) < float(cut[at]) and float(blended[at]) <= float(blended[elsewhere].max())


def by_the_nearest(velocity: Callable[..., torch.Tensor], side: int, z: torch.Tensor) -> torch.Tensor:
    """The same windows, but at each place the velocity of one alone, that of the window whose middle is nearest."""
    height, width = z.shape[-2:]
    windows = windows_over(height, width, side, 0.125, 2)
    weights = [
        F.pad(weight, (one.left, width - one.right, one.top, height - one.bottom))
        for one, weight in zip(windows, weights_of(height, width, windows), strict=True)
    ]
    nearest, found = torch.stack(weights).argmax(dim=0), torch.zeros_like(z)
    for k, one in enumerate(windows):
        one.of(found).add_(velocity(one.of(z), one) * one.of(nearest == k))
    return found


def test_tiles_of_a_photograph_leave_no_seam() -> None:
    """What tiles change of a photograph of 512 px, against the whole image seen at once, steps nowhere.

    The network is one whose patches see the mean of their window alone, so that windows disagree as much as they can.
    """
    photo = torch.from_numpy(read_photo("astronaut")).permute(2, 0, 1)[None] / 255
    method = tiny(codec=CoarseCodec, tile_px=256, guidance=1.0).eval()
    for block in method.network.blocks:
        torch.nn.init.zeros_(block.attention.norm_query.weight)  # type: ignore[union-attr, arg-type]
    degraded, time = method.encoded(photo), torch.ones(1)
    z, tokens = token_prior(*degraded.shape), method.network.embed(torch.zeros(1, 1, TOKENS))
    with torch.inference_mode():
        whole = method.network(z, degraded, time, tokens)
        tiled = method._velocity(degraded, torch.ones(1, 1, 512, 512), 512, 512)(z, time)
        cut = by_the_nearest(lambda part, window: method.network(part, window.of(degraded), time, tokens), 64, z)

    def steps(found: torch.Tensor) -> torch.Tensor:
        """From patch to patch along rows, as multiples of the usual one; the mean over channels and rows."""
        sizes = F.avg_pool2d(found - whole, 2).diff(dim=3).abs().mean(dim=(0, 1, 2))
        return sizes / sizes.median()

    borders = [23, 39]  # windows begin at patches 0, 16 and 32, and are 32 wide
    blended, seams = steps(tiled), steps(cut)
    assert sorted(seams.topk(2).indices.tolist()) == borders and float(seams[borders].min()) > 5
    assert float(blended.max()) < 3 and float((blended[borders] / seams[borders]).max()) < 0.5


class LargestTensor(TorchDispatchMode):
    """Counts, while a network runs, the values of the largest tensor that any operation makes."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.values, self.runs = 0, False
        network.register_forward_pre_hook(lambda *_: setattr(self, "runs", True))
        network.register_forward_hook(lambda *_: setattr(self, "runs", False))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if self.runs:
            sizes = [one.numel() for one in tree_leaves(found) if isinstance(one, torch.Tensor)]
            self.values = max(self.values, *sizes, 0)
        return found


def largest(side_px: int, tile_px: int | None) -> int:
    method = tiny(tile_px=tile_px, sampling_steps=1).eval()
    counter = LargestTensor(method.network)
    grid = token_prior(1, TOKENS, side_px // 8, side_px // 8)
    with torch.inference_mode(), counter:
        method.restore(images(1, 3, side_px, side_px), grid, [0])
    return counter.values


def test_memory_does_not_grow_with_an_image_in_tiles() -> None:
    """Of the network, which holds the most: its largest tensor is that of one tile of both branches."""
    of_a_tile = largest(32, None)
    assert of_a_tile == largest(32, 32) == largest(64, 32) == largest(128, 32)
    assert largest(64, None) >= 4 * of_a_tile


def test_tiles_take_images_of_any_shape_and_a_batch_changes_none() -> None:
    method, lr, prior = tiny(2, tile_px=32).eval(), images(2, 3, 21, 37), token_prior(2, TOKENS, 5, 9)
    with torch.inference_mode():
        together = method.restore(lr, prior, [4, 5])
        alone = torch.cat([method.restore(lr[k : k + 1], prior[k : k + 1], [4 + k]) for k in range(2)])
    assert together.shape == (2, 3, 42, 74) and torch.allclose(together, alone, atol=1e-5)
