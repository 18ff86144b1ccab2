"""Checkpoints that are whole or absent: safetensors for numbers, JSON for the rest; resume takes the newest valid."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save

from srledger.errors import SrledgerError
from srledger.io import atomic_open, read_json, sha256_file, write_json

KEPT_CHECKPOINTS = 2


def save_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> str:
    """Write tensors as safetensors, atomically and fsynced; returns the file's sha256."""
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_open(path) as file:
        file.write(save(whole))
    return sha256_file(path)


def load_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read a safetensors file. Raises SrledgerError when it is missing or torn."""
    try:
        return load_file(path)
    except Exception as error:  # safetensors raises its own types for each kind of damage
        raise SrledgerError("a weights file can't be read", where=path, found=error, mend="dvc repro") from error


def check_tensors(module: torch.nn.Module, tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Compare tensors with what ``module`` expects; every key and shape must match.

    Raises:
        SrledgerError: keys are missing, left over, or of another shape: the file is of another architecture.
    """
    expected = module.state_dict()
    wrong = [f"missing {name}" for name in expected if name not in tensors]
    wrong += [f"left over {name}" for name in tensors if name not in expected]
    wrong += [
        f"{name} is {list(tensors[name].shape)}, expected {list(value.shape)}"
        for name, value in expected.items()
        if name in tensors and tensors[name].shape != value.shape
    ]
    if wrong:
        raise SrledgerError(
            "weights of another architecture", where=path, found="; ".join(wrong[:4]) + ("; ..." if wrong[4:] else ""),
            expected=f"the {len(expected)} tensors of {type(module).__name__}", mend="dvc repro",
        )  # fmt: skip


def load_weights(module: torch.nn.Module, path: Path) -> None:
    """Load a safetensors file into ``module``. Raises SrledgerError when it is torn or of another architecture."""
    tensors = load_tensors(path)
    check_tensors(module, tensors, path)
    module.load_state_dict(tensors)


class CheckpointStore:
    """The checkpoints of one seed in one folder: ``step_<n>.safetensors`` and, written after it, ``step_<n>.json``.

    The JSON names the sha256 of the tensors, so a pair is valid only when both were written to the end.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, step: int, tensors: Mapping[str, torch.Tensor], state: dict[str, Any]) -> None:
        """Write the checkpoint of ``step`` and drop all but the newest two."""
        stem = self.folder / f"step_{step:08d}"
        sha256 = save_tensors(stem.with_suffix(".safetensors"), tensors)
        write_json(stem.with_suffix(".json"), {"step": step, "sha256": sha256, "state": state})
        for old in self._steps()[KEPT_CHECKPOINTS:]:
            self._drop(old)

    def newest_valid(self) -> tuple[dict[str, torch.Tensor], dict[str, Any], list[str]] | None:
        """(tensors, state, notes on the checkpoints that were passed over) of the newest whole checkpoint, or None."""
        notes: list[str] = []
        for step in self._steps():
            stem = self.folder / f"step_{step:08d}"
            try:
                header = read_json(stem.with_suffix(".json"))
                if sha256_file(stem.with_suffix(".safetensors")) != header["sha256"]:
                    raise ValueError("its tensors are not those that were saved")
                return load_file(stem.with_suffix(".safetensors")), header["state"], notes
            except (OSError, ValueError, KeyError) as error:
                notes.append(f"step {step}: {error}")
        return None

    def clear(self) -> None:
        """Drop all checkpoints: the finished weights stand in for them."""
        for step in self._steps():
            self._drop(step)

    def _steps(self) -> list[int]:
        found = {
            int(match[1]) for path in self.folder.glob("step_*") if (match := re.match(r"step_(\d+)\.", path.name))
        }
        return sorted(found, reverse=True)

    def _drop(self, step: int) -> None:
        for suffix in (".json", ".safetensors"):  # the commit mark goes first
            with contextlib.suppress(FileNotFoundError):
                (self.folder / f"step_{step:08d}{suffix}").unlink()
