"""A small, realistic rows folder: 3 rows x 2 tasks x 2 seeds x 12 images, one metric unavailable, one row failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from PIL import Image

from srledger.io import sha256_bytes, write_json, write_text
from srledger.seeds import numpy_generator

ROWS = ("bicubic", "unet", "sr3_yoda")
TASKS = ("faces_x4", "faces_x8")
METRICS: dict[str, dict[str, Any]] = {
    "psnr_rgb": {"unit": "dB", "higher_is_better": True, "digits": 3, "of": "image",
                 "protocol": "PSNR over RGB, 8-bit images, peak 255, no border"},
    "ssim_rgb": {"unit": "", "higher_is_better": True, "digits": 4, "of": "image",
                 "protocol": "SSIM, Gaussian window 11 px, sigma_px 1.5, mean of the RGB channels"},
    "enc_lpips": {"unit": "", "higher_is_better": False, "digits": 4, "of": "image",
                  "protocol": "LPIPS-style distance of the encoder trained in this pipeline"},
    "fed": {"unit": "", "higher_is_better": False, "digits": 2, "of": "set",
            "protocol": "Frechet distance of encoder features, group jackknife error"},
}  # fmt: skip
GAIN = {"bicubic": 0.0, "unet": 0.8, "sr3_yoda": 0.75}
WHY = "lpips_alex needs the weights 'alexnet' & 'lpips_v0.1', which are not in the catalogue's cache"


def build_rows(folder: Path, *, rows: tuple[str, ...] = ROWS, tasks: tuple[str, ...] = TASKS, images: int = 12,
               size_px: int = 64, pictures: int = 3, failed: tuple[str, str] | None = ("sr3_yoda", "faces_x8"),
               pairs: bool = True) -> Path:  # fmt: skip
    """Write a rows folder below ``folder`` and return it; the same arguments give the same bytes.

    Args:
        failed: (row, task) whose record says that it failed.
        pairs: write ``pictures`` pictures per task.
    """
    records = []
    for task in tasks:
        for row in rows:
            record = _record(row, task, images, failed == (row, task))
            records.append(record)
            if not record["failed"]:
                parquet.write_table(
                    _values(row, task, record["seeds"], images), folder_of(folder) / f"{row}__{task}.parquet"
                )
    results = {
        "scale": "quick", "results": records,
        "datasets": {"gallery": {"licence": "CC0-1.0", "redistributable": True, "source": "bundled photographs",
                                 "counts": {"train": 80, "val": 10, "test": images}, "identities": 0,
                                 "sha256": sha256_bytes(b"gallery")}},
        "tasks": {task: {"dataset": "gallery", "degradation": "bicubic", "scale_factor": int(task[-1]),
                         "hr_size_px": size_px} for task in tasks},
    }  # fmt: skip
    write_json(folder / "results.json", results)
    parquet.write_table(_curves(rows), folder / "curves.parquet")
    for task in tasks if pairs else ():
        for k in range(pictures):
            _write_pictures(folder / "pictures" / task / f"img_{k:03}", rows, task, k, size_px)
    return folder


def folder_of(folder: Path) -> Path:
    """``folder``, made when it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_published(folder: Path) -> Path:
    """One paper's numbers, of which one has no row here."""
    write_text(
        folder / "sr3.csv",
        "paper,artefact,task,row,metric,value,unit,source,grade,note\n"
        "Face SR & attention,Table 2,faces_x8,unet,psnr_rgb,23.04,dB,\"p. 6, 100 % of CelebA-HQ\",B,other test set\n"
        "Face SR & attention,Table 2,faces_x8,pulse,psnr_rgb,16.88,dB,p. 6,B,\n",
    )  # fmt: skip
    return folder


def _seeds(row: str) -> list[int]:
    return [0] if row == "bicubic" else [0, 1]


def _record(row: str, task: str, images: int, failed: bool) -> dict[str, Any]:
    trained = row != "bicubic"
    rng = numpy_generator("fixture", "fed", row, task)
    fed = {
        str(seed): {"value": float(30 - 9 * GAIN.get(row, 0.5) + rng.normal()), "standard_error": 1.5, "n": images}
        for seed in _seeds(row)
    }
    hashes = {f"{kind}_sha256": sha256_bytes(f"{kind} {row} {task}".encode()) for kind in ("code", "params", "weights")}
    if not trained:
        hashes["weights_sha256"] = ""
    return {
        "row": row, "task": task, "method": row.split("_")[0],
        "prior": "dino_attention" if "yoda" in row else "uniform", "teacher": None,
        "config": {"channels": 32, "blocks": [1, 2, 2]} if trained else {},
        "training": {"steps": 2000, "batch": 8, "learning_rate": 2e-4} if trained else None,
        "seeds": _seeds(row), "n_test": images, "parameters": 1_234_567 if trained else 0,
        "macs": 3_210_000_000 if trained else None,
        "image_metrics": [] if failed else [name for name, info in METRICS.items() if info["of"] == "image"],
        "set_metrics": {} if failed else {"fed": fed}, "unavailable": {} if failed else {"lpips_alex": WHY},
        "failed": "loss became NaN at step 1200 (seed 1)" if failed else None,
        "metric_info": {} if failed else METRICS, "data_sha256": sha256_bytes(task.encode()), **hashes,
    }  # fmt: skip


def _values(row: str, task: str, seeds: list[int], images: int) -> pa.Table:
    ids = [f"img_{k:03}" for k in range(images)]
    hardness = numpy_generator("fixture", task).normal(0, 2, size=images)  # shared by all rows: what pairing takes out
    columns: dict[str, list[Any]] = {"image_id": [], "seed": [], "psnr_rgb": [], "ssim_rgb": [], "enc_lpips": []}
    for seed in seeds:
        noise = numpy_generator("fixture", row, task, seed).normal(size=(3, images))
        gain = GAIN.get(row, 0.5) + (0.05 * noise[0, 0] if seed else 0)
        columns["image_id"] += ids
        columns["seed"] += [seed] * images
        columns["psnr_rgb"] += (24 + hardness + gain + 0.15 * noise[0]).tolist()
        columns["ssim_rgb"] += (0.70 + 0.02 * hardness + 0.05 * gain + 0.004 * noise[1]).tolist()
        columns["enc_lpips"] += (0.35 - 0.01 * hardness - 0.1 * gain + 0.01 * noise[2]).tolist()
    types = {"image_id": pa.string(), "seed": pa.int32()}
    return pa.table({name: pa.array(values, types.get(name, pa.float32())) for name, values in columns.items()})


def _curves(rows: tuple[str, ...]) -> pa.Table:
    entries: list[tuple[str, int, int, str, float]] = []
    for row in rows:
        for seed in _seeds(row) if row != "bicubic" else ():
            noise = numpy_generator("fixture", "curve", row, seed).normal(size=40)
            for k, step in enumerate(range(50, 2001, 50)):
                fall = float(np.exp(-step / 600))
                entries.append((row, seed, step, "loss_total", 0.02 + 0.3 * fall * (1 + 0.1 * noise[k])))
                entries.append((row, seed, step, "loss_pixel", 0.01 + 0.2 * fall))
                entries.append((row, seed, step, "learning_rate", 2e-4 * (1 - step / 4000)))
                if step % 200 == 0:
                    entries.append((row, seed, step, "psnr_rgb_val", 24.8 - 2 * fall + 0.05 * noise[k]))
    types = (pa.string(), pa.int32(), pa.int32(), pa.string(), pa.float32())
    names = ("row", "seed", "step", "name", "value")
    return pa.table(
        {
            name: pa.array(list(column), kind)
            for name, column, kind in zip(names, zip(*entries, strict=True), types, strict=True)
        }
    )


def _write_pictures(folder: Path, rows: tuple[str, ...], task: str, k: int, size_px: int) -> None:
    """A smooth scene with discs and stripes; each row is a different mixture of it and its bicubic copy."""
    rng = numpy_generator("fixture", "picture", task, k)
    y, x = np.mgrid[0:size_px, 0:size_px] / size_px
    scene = np.stack([120 + 60 * np.sin(6 * x + k), 110 + 50 * np.cos(5 * y + k), 140 + 40 * (x - y)], axis=2)
    for _ in range(5):
        cx, cy, radius = rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.9), rng.uniform(0.06, 0.2)
        scene[(x - cx) ** 2 + (y - cy) ** 2 < radius**2] = rng.uniform(20, 235, size=3)
    scene[:, (x[0] * 16).astype(int) % 8 == 3] *= 0.7
    hr = Image.fromarray(np.clip(scene, 0, 255).astype(np.uint8))
    factor = int(task[-1])
    lr = hr.resize((size_px // factor, size_px // factor), Image.Resampling.BICUBIC)
    smooth = np.asarray(lr.resize(hr.size, Image.Resampling.BICUBIC), dtype=float)
    folder_of(folder)
    hr.save(folder / "hr.png")
    lr.save(folder / "lr.png")
    for row in rows:
        share = GAIN.get(row, 0.5) * 0.6
        mixture = smooth * (1 - share) + np.asarray(hr, dtype=float) * share
        Image.fromarray(np.clip(mixture, 0, 255).round().astype(np.uint8)).save(folder / f"{row}.png")
