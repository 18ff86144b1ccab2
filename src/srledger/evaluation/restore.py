"""Restoring test images: 8 bits in, 8 bits out, noise by image, batches of one size."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch

from srledger.evaluation.config import EvaluationConfig
from srledger.layout import Layout
from srledger.methods import Method
from srledger.seeds import seed_for
from srledger.settings import Evaluation
from srledger.training.batches import Examples, to_tensor
from srledger.training.checkpoint import load_weights
from srledger.training.run import build_method


def load_method(evaluation: Evaluation, layout: Layout, seed: int) -> Method:
    """The method of one trained seed, ready to restore with the row's own settings.

    Raises:
        SrledgerError: the weights of its run are of another architecture.
    """
    row = evaluation.row
    # A transfer may ask for another scale factor than its row's; params.yaml is checked for whether the method can.
    method = build_method({**row.resolved(), "scale_factor": evaluation.task.scale_factor})
    weights = layout.run(row.trained.name) / f"seed{seed}" / "weights.safetensors"
    if weights.exists():
        load_weights(method, weights)
    return method.eval().requires_grad_(False)


def batches_of_one_size(examples: Examples, count: int, batch_size: int) -> Iterator[list[int]]:
    """Positions of neighbouring images of one size among the first ``count``, at most ``batch_size`` together."""
    for _, group in itertools.groupby(range(count), key=lambda k: examples.hr.shapes[k]):
        positions = list(group)
        yield from (positions[k : k + batch_size] for k in range(0, len(positions), batch_size))


def to_8_bits(images: torch.Tensor) -> torch.Tensor:
    """Float images in [0, 1] as uint8: clamped, rounded half to even."""
    return images.float().clamp(0, 1).mul(255).round().to(torch.uint8)


def restore_batch(
    method: Method,
    examples: Examples,
    positions: list[int],
    row: str,
    seed: int,
    config: EvaluationConfig,
    sample: int = 0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(sr, hr) of the images at ``positions``: uint8 ``B x 3 x H x W`` on the CPU. See ``restore_unclamped``."""
    sr, hr = restore_unclamped(method, examples, positions, row, seed, config, sample)
    return to_8_bits(sr), hr


@torch.inference_mode()
def restore_unclamped(
    method: Method,
    examples: Examples,
    positions: list[int],
    row: str,
    seed: int,
    config: EvaluationConfig,
    sample: int = 0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(sr, hr) of the images at ``positions``, ``B x 3 x H x W`` on the CPU.

    ``hr`` is uint8; ``sr`` is float32 as the method left it, nominally in [0, 1]: ``to_8_bits`` makes the image of it.

    The noise of an image is seeded by (row, its id, seed) and nothing else; ``sample`` 1, 2, ... draw it anew. ``row``
    is the trained one: rows that take its weights see its noise too, so that they differ by their settings alone.
    """
    hr, lr, prior = zip(*(examples[k] for k in positions), strict=True)
    drawn = ("sample", sample) if sample else ()
    seeds = [seed_for("evaluation", row, examples.ids[k], seed, *drawn) for k in positions]
    with torch.autocast(config.device, dtype=torch.bfloat16, enabled=config.precision == "bf16"):
        sr = method.restore(to_tensor(lr).to(config.device), to_tensor(prior).to(config.device), seeds)
    return sr.float().cpu(), to_8_bits(to_tensor(hr))
