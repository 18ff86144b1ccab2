"""What the bits and the speed of torch depend on, set once per process."""

from __future__ import annotations

import contextlib
import ctypes

import torch

from srledger.errors import SrledgerError

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # glibc's malloc.h
KEPT_BYTES = (1 << 31) - 1


def prepare_torch(threads: int, device: str) -> None:
    """Set what the bits of a result depend on: threads and deterministic algorithms.

    Raises:
        SrledgerError: the settings ask for a GPU and none is visible.
    """
    _keep_memory()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=device == "cuda")
    # Filling fresh memory costs a tenth of a step, and nothing reads it before it is written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if device == "cuda" and not torch.cuda.is_available():
        raise SrledgerError(
            "no GPU is visible", where="params.yaml: device", found="cuda, and no CUDA device",
            expected="a CUDA device", mend="set device: cpu, or run on a GPU machine",
        )  # fmt: skip


def _keep_memory() -> None:
    """Let glibc keep freed memory: mapping every large tensor anew costs up to half of a training step on a CPU."""
    with contextlib.suppress(OSError, AttributeError):  # another C library: nothing to set
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(M_TOP_PAD, 64 << 20)
