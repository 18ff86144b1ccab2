"""The vocabulary of an open-vocabulary detector: text features, baked once by CLIP, then a file that needs no CLIP.

The file is safetensors: ``features`` (float32 ``C x 512``, rows of length 1), and in its metadata the prompts and a
hash of both. A file whose prompts are not those asked for is stale.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from srledger.errors import SrledgerError
from srledger.io import canonical_json, sha256_bytes, sha256_json, write_bytes

WIDTH = 512  # of CLIP ViT-B/32
ABOUT = "vocabulary"  # the key of its metadata
MEND = "dvc repro --force train_encoder@<its entry> (bakes it anew; needs the weights clip_vit_b32: make weights)"


def save_vocabulary(path: Path, prompts: Sequence[str], features: torch.Tensor) -> None:
    """Write a vocabulary, atomically. ``features`` is ``C x 512``, one row a prompt."""
    from safetensors.torch import save

    kept = features.detach().float().cpu().contiguous()
    if kept.shape != (len(prompts), WIDTH):
        raise ValueError(f"features are {tuple(kept.shape)}, expected {(len(prompts), WIDTH)}")
    about = {"prompts": list(prompts), "sha256": _hash(prompts, kept)}
    # Under one key: safetensors writes several in any order, and so not always the same bytes.
    write_bytes(path, save({"features": kept}, {ABOUT: canonical_json(about)}))


def load_vocabulary(path: Path, prompts: Sequence[str]) -> torch.Tensor:
    """The features of ``prompts``, float32 ``C x 512``.

    Raises:
        SrledgerError: the file is missing or torn, was changed, or was baked of other prompts.
    """
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as file:
            about, features = json.loads(file.metadata()[ABOUT]), file.get_tensor("features")
        baked, expected = about["prompts"], about["sha256"]
    except Exception as error:  # safetensors raises its own types for each kind of damage
        raise SrledgerError("a vocabulary can't be read", where=path, found=error, mend=MEND) from error
    if baked != list(prompts):
        raise SrledgerError(
            "a vocabulary is stale: its prompts have changed since it was baked", where=path, found=", ".join(baked),
            expected=", ".join(prompts), mend=MEND,
        )  # fmt: skip
    if features.shape != (len(baked), WIDTH) or _hash(baked, features) != expected:
        raise SrledgerError(
            "a vocabulary is not what was baked", where=path, found=_hash(baked, features),
            expected=expected, mend=MEND,
        )  # fmt: skip
    return features


def bake_vocabulary(prompts: Sequence[str], clip_file: Path, path: Path) -> None:
    """Encode prompts with CLIP's published TorchScript archive, as YOLO-World's ``set_classes`` does, and save them.

    Raises:
        SrledgerError: the file is no such archive, or the package openai-clip can't be imported.
    """
    try:
        import clip
    except ImportError as error:
        raise SrledgerError(
            "a vocabulary can't be baked without the package openai-clip", found=error, mend="make env"
        ) from error
    try:
        model = torch.jit.load(str(clip_file), map_location="cpu").eval()  # runs TorchScript alone, no pickled Python
    except (RuntimeError, ValueError) as error:
        raise SrledgerError(
            "CLIP's weights can't be read", where=clip_file, found=str(error).splitlines()[0],
            expected="the TorchScript archive that its authors publish", mend=f"rm {clip_file} && make weights",
        ) from error  # fmt: skip
    with torch.no_grad():
        features = clip_text_features(model, clip.tokenize(list(prompts)))
    save_vocabulary(path, prompts, features)


def clip_text_features(model: torch.nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    """Unit vectors ``C x 512`` of tokens ``C x 77``, in float32 by CLIP's own text encoder."""
    from clip.model import build_model

    rebuilt = build_model(model.state_dict()).float().eval()
    found = rebuilt.encode_text(tokens).float()
    return found / found.norm(p=2, dim=-1, keepdim=True)


def _hash(prompts: Sequence[str], features: torch.Tensor) -> str:
    """Of the prompts and of the features' little-endian bytes."""
    values = features.detach().float().cpu().contiguous().numpy()
    raw = values.tobytes() if sys.byteorder == "little" else values.byteswap().tobytes()
    return sha256_json([list(prompts), sha256_bytes(raw)])
