"""Tensors of a pickled model, read without running any code of it.

ultralytics publishes whole models, pickled. Torch's restricted unpickler (``weights_only=True``) refuses their classes;
here every class of torch and ultralytics that the file names is answered by one that does nothing, and any other name
is an error. What the dead modules hold is their tensors, which is all that is wanted.
"""

from __future__ import annotations

import collections
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from srledger.errors import SrledgerError

STOOD_IN_FOR = ("torch.nn.", "ultralytics.")


class Inert(nn.Module):
    """In the place of a module's class: keeps what it is told, and does nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, *args: Any) -> Any:
        raise TypeError("a module read for its tensors alone can't be run")


def read_pickled_model(path: Path, mend: str) -> collections.OrderedDict[str, torch.Tensor]:
    """The state of the model in an ultralytics checkpoint (its average, where it holds one), in float32.

    Raises:
        SrledgerError: the file is torn, names what is neither torch's nor ultralytics', or holds no model.
    """
    try:
        named = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
        foreign = [name for name in named if not name.startswith(STOOD_IN_FOR)]
        if foreign:
            raise SrledgerError(
                "a weights file names code that is not a network's", where=path, found=", ".join(sorted(foreign)[:4]),
                expected="classes of torch.nn and ultralytics alone", mend=mend,
            )  # fmt: skip
        with torch.serialization.safe_globals([(Inert, name) for name in named]):
            held = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise SrledgerError(
            "a weights file can't be read", where=path, found=str(error).splitlines()[0] if str(error) else error,
            expected="a checkpoint of ultralytics", mend=mend,
        ) from error  # fmt: skip
    except Exception as error:  # the unpickler raises its own types for what it refuses
        if isinstance(error, SrledgerError):
            raise
        raise SrledgerError(
            "a weights file can't be read", where=path, found=type(error).__name__, mend=mend
        ) from error
    model = (held.get("ema") or held.get("model")) if isinstance(held, dict) else None
    if not isinstance(model, nn.Module):
        raise SrledgerError(
            "a weights file holds no model", where=path, expected="a checkpoint of ultralytics", mend=mend
        )
    return collections.OrderedDict((name, value.float() if value.is_floating_point() else value)
                                   for name, value in model.state_dict().items())  # fmt: skip
