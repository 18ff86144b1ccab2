"""What a restoration costs, counted and not timed."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from srledger.evaluation.config import EvaluationConfig
from srledger.evaluation.restore import restore_batch
from srledger.methods import Method
from srledger.training.batches import Examples


@torch.inference_mode()
def count_macs(method: Method, examples: Examples, config: EvaluationConfig) -> int | None:
    """Multiply-accumulates of restoring the first image (convolutions and matrix products, every sampling step).

    None where torch did none: what runs elsewhere is not counted, and not free.
    """
    counter = FlopCounterMode(display=False)
    with counter:
        restore_batch(method, examples, [0], "macs", 0, config)
    return counter.get_total_flops() // 2 or None
