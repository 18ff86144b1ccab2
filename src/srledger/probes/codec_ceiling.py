"""What a codec can keep of an image: the ceiling of every method that works on its latents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from srledger.probes import (
    CodecsConfig,
    Look,
    Measured,
    Probe,
    Quantity,
    Shown,
    ShownCell,
    ShownLine,
    ShownPicture,
    ShownTable,
)
from srledger.probes._sheets import draw_sheet_of_panels
from srledger.probes._tables import arrays, names_in, seeds_by_images, table_of
from srledger.probing.source import Images, Source, measure_images
from srledger.reporting.pictures import ERROR_GAIN, error_map, read_rgb

if TYPE_CHECKING:
    import torch

    from srledger.encoders import Encoder

SHEET_PANEL_PX = 192
DEVIATION = "latent_deviation"


class Config(CodecsConfig):
    """The codecs, the metrics, and how many images are shown."""

    pictures: int = Field(default=4, ge=0, description="the first images, for the pictures")
    metrics: tuple[str, ...] = Field(
        default=("psnr_rgb", "ssim_rgb", "lpips_alex", "squeezenet_distance", "enc_lpips"),
        description="metrics of single images; those that can't be had are named and passed over",
    )


class CodecCeiling(Probe):
    """Every HR image is encoded and decoded again, with neither noise nor a method between, and compared with itself.

    No restorer on these latents can be expected to do better, unless what comes after its decoder adds to the image.
    Share: latent numbers per number of the image. Deviation: of the latents over space and channels, mean over images;
    diffusion and flow matching take it for 1.
    """

    config: Config

    def measure(self, source: Source) -> Measured:
        from srledger.evaluation.measure import metric_info
        from srledger.probing.networks import network_facts

        panel = source.panel(self.config.metrics)
        for name in [name for name, (_, metric) in panel.metrics.items() if metric.of != "image"]:
            panel.leave_out(name, f"{name} is no number of a single image")
        hr, ids = source.hr(self.config.images), source.ids(self.config.images)
        pictured = min(self.config.pictures, len(hr))
        pictures = {f"hr_{k}": image for k, image in enumerate(hr[:pictured])}
        asked, lines, codecs = list(panel.metrics), [], {}
        for name in source.encoders:
            source.say(name)
            codec = source.encoder(name)
            passed = [through(codec, image) for image in hr]
            values = measure_images(panel, [image for image, _ in passed], hr)
            columns = [values.get(metric, [np.nan] * len(hr)) for metric in asked]
            deviations = [float(latents.std(correction=0)) for _, latents in passed]
            lines += [(name, 0, *line) for line in zip(ids, deviations, *columns, strict=True)]
            codecs[name] = {
                "learned": network_facts(source.params, name)["learned"],
                "latent": list(passed[0][1].shape),
                "image": list(hr[0].shape),
                "parameters": sum(value.numel() for value in codec.parameters()),
            }
            pictures |= {f"{name}_{k}": image for k, (image, _) in enumerate(passed[:pictured])}
        kept = [name for name in asked if name in panel.metrics]
        types = {"codec": str, "seed": int, "image_id": str, DEVIATION: float, **dict.fromkeys(asked, float)}
        facts = {
            "codecs": codecs,
            "metrics": {name: metric_info(name) for name in kept},
            "unavailable": dict(panel.unavailable),
            "pictured": ids[:pictured],
        }
        shown = [name for name in types if name not in asked or name in kept]
        return Measured(table_of(types, lines).select(shown), facts, pictures)

    def show(self, found: Measured, look: Look) -> Shown:
        columns, infos = arrays(found.table), found.facts["metrics"]
        codecs = names_in(columns, "codec")
        lines: list[ShownLine] = []
        for name in codecs:
            here, facts = columns["codec"] == name, found.facts["codecs"][name]
            numbers: list[ShownCell] = [
                Quantity.of(look.mean(seeds_by_images(columns, here, metric), name), info["digits"])
                for metric, info in infos.items()
            ]
            share = np.prod(facts["latent"]) / np.prod(facts["image"])
            deviation = look.mean(seeds_by_images(columns, here, DEVIATION), name)
            lines.append((
                name, facts["learned"], int(here.sum()), " x ".join(map(str, facts["latent"])), Quantity(float(share)),
                Quantity(facts["parameters"] / 1e6, 2), Quantity.of(deviation, 2), *numbers,
            ))  # fmt: skip
        units = (f"{name} ({info['unit']})" if info["unit"] else name for name, info in infos.items())
        head = (
            "codec", "learned from", "n", "latent (channels x height x width)", "share", "parameters (M)", "deviation",
            *units,
        )  # fmt: skip
        notes = [f"{name}: {info['protocol']}." for name, info in infos.items()]
        notes += [f"{name}: unavailable: {why}" for name, why in found.facts["unavailable"].items()]
        table = ShownTable(
            "ceiling", "HR images after encoding and decoding: the ceiling of each codec", head, tuple(lines),
            tuple(notes),
        )  # fmt: skip
        sheet = _sheet(codecs, found.facts["pictured"], look)
        caption = f"HR and what each codec leaves of it; below, the error, white at {255 // ERROR_GAIN} of 255 and more"
        pictures = () if sheet is None else (ShownPicture("images", caption, sheet),)
        return Shown(tables=(table,), pictures=pictures)


def through(codec: Encoder, image: np.ndarray) -> tuple[np.ndarray, torch.Tensor]:
    """(decoded, latents): uint8 ``H x W x 3``, cut back to the image's size, and float32 ``C x h x w``."""
    import torch

    from srledger.evaluation.restore import to_8_bits
    from srledger.training.batches import to_tensor

    height, width = image.shape[:2]
    with torch.inference_mode():
        latents = codec.encode(to_tensor([image]))
        decoded = to_8_bits(codec.decode(latents)[..., :height, :width])
    return decoded[0].permute(1, 2, 0).numpy(), latents[0]


def _sheet(codecs: tuple[str, ...], pictured: list[str], look: Look) -> bytes | None:
    """Two lines per image: what is left of it, and where that is wrong. None where this report may show none."""
    lines: list[tuple[str, Images]] = []
    for k, image_id in enumerate(pictured):
        if f"hr_{k}" not in look.own:
            continue
        hr = read_rgb(look.own[f"hr_{k}"])
        decoded = [read_rgb(look.own[f"{name}_{k}"]) for name in codecs]
        lines.append((image_id, [hr, *decoded]))
        lines.append(("error", [np.zeros_like(hr), *(error_map(image, hr) for image in decoded)]))
    return draw_sheet_of_panels(("HR", *codecs), lines, SHEET_PANEL_PX) if lines else None
