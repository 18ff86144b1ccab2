"""The ceiling of codecs: what is left of HR images, how large the latents are, and which codecs can't be asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT
from encoder_tools import untrained_encoder
from PIL import Image
from probe_tools import MadeUp, flat, look, noise

from srledger.config import Params
from srledger.encoders import Encoder
from srledger.encoders import pca_codec as pca
from srledger.errors import SrledgerError
from srledger.evaluation.measure import Panel
from srledger.io import write_json
from srledger.layout import Layout
from srledger.packs import PackWriter
from srledger.priors import PriorInput
from srledger.probes._tables import arrays
from srledger.probes.codec_ceiling import CodecCeiling, Config, through
from srledger.probing import run
from srledger.yamlmap import YamlFile

HR = [noise(k, 18) for k in range(5)]  # 18 px: no whole number of patches of 4
ENTRIES = """
  pca_whole: { encoder: pca_codec, task: faces_x4, config: { factor: 4, channels: 48 } }
  pca_small: { encoder: pca_codec, task: faces_x4, config: { factor: 4, channels: 6 } }
  kl_other: { encoder: kl_vae, task: faces_x4, scales: [paper] }
  sd: { encoder: sd21_vae, task: faces_x4, weights: published }
"""
PROBE = "{ title: t, probe: codec_ceiling, config: { task: faces_x4, codecs: [CODECS] } }"


def params_with(folder: Path, codecs: str = "pca_whole, pca_small, kl_other, sd") -> Params:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8").replace("\nencoders:\n", "\nencoders:" + ENTRIES)
    text = text.replace("\nprobes:\n", f"\nprobes:\n  mine: {PROBE.replace('CODECS', codecs)}\n")
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    return Params(YamlFile.read(folder / "params.yaml"), "quick")


def fitted(channels: int) -> Encoder:
    codec = pca.PcaCodec(pca.Config(factor=4, channels=channels), {})
    codec.fit([PriorInput(str(k), "train", image, image, None) for k, image in enumerate(HR)])
    return codec.eval()


class WithCodecs(MadeUp):
    """Test images, and codecs that were fitted to them."""

    def __init__(self, params: Params, codecs: dict[str, Encoder]) -> None:
        super().__init__(HR, {})
        self.params, self.encoders, self._codecs = params, tuple(codecs), codecs

    def encoder(self, name: str) -> Encoder:
        return self._codecs[name]


@pytest.fixture
def source(tmp_path: Path) -> WithCodecs:
    return WithCodecs(params_with(tmp_path), {"pca_whole": fitted(48), "pca_small": fitted(6)})


def config(**more: Any) -> Config:
    return Config(task="faces_x4", codecs=("pca_whole", "pca_small"), **more)


def test_a_codec_that_keeps_all_is_perfect_and_a_small_one_is_what_is_left(source: WithCodecs) -> None:
    probe = CodecCeiling(config(metrics=("psnr_rgb", "ssim_rgb", "lpips_alex")))
    found = probe.measure(source)
    shown = probe.show(found, look()).tables[0]
    lines = {line[0]: dict(zip(shown.head, line, strict=True)) for line in shown.lines}
    assert lines["pca_whole"]["psnr_rgb (dB)"].value == 100 and lines["pca_whole"]["ssim_rgb"].value == 1
    errors = [np.square(through(fitted(6), image)[0].astype(float) - image).mean() for image in HR]
    expected = np.mean(10 * np.log10(255**2 / np.array(errors)))
    assert lines["pca_small"]["psnr_rgb (dB)"].value == pytest.approx(expected, abs=1e-3)
    assert lines["pca_small"]["psnr_rgb (dB)"].value < 25
    assert lines["pca_small"]["latent (channels x height x width)"] == "6 x 5 x 5"
    assert lines["pca_small"]["share"].value == pytest.approx(6 * 25 / (3 * 18 * 18))
    assert lines["pca_small"]["learned from"] == "faces_x4, train images: in closed form"
    assert lines["pca_small"]["n"] == 5 and 0.5 < lines["pca_small"]["deviation"].value < 1.5
    assert any(note.startswith("lpips_alex: unavailable") for note in shown.notes)
    assert "lpips_alex" not in found.table.column_names


def test_images_are_cut_back_and_rounded(source: WithCodecs) -> None:
    decoded, latents = through(source.encoder("pca_small"), flat(77, 18)[:, :7])
    assert decoded.shape == (18, 7, 3) and decoded.dtype == np.uint8 and latents.shape == (6, 5, 2)
    assert not latents.requires_grad and latents.dtype == torch.float32


def test_metrics_of_sets_of_images_are_passed_over(source: WithCodecs, tmp_path: Path) -> None:
    layout = Layout("test", tmp_path)
    layout.encoder("tiny_dino_vit").parent.mkdir(parents=True)
    layout.encoder("tiny_dino_vit").symlink_to(untrained_encoder())
    source.panel = lambda metrics: Panel(metrics, (), layout)  # type: ignore[method-assign]
    found = CodecCeiling(config(metrics=("psnr_rgb", "fed"), images=2)).measure(source)
    assert found.facts["unavailable"] == {"fed": "fed is no number of a single image"}
    assert list(found.facts["metrics"]) == ["psnr_rgb"]
    assert arrays(found.table)["image_id"].tolist() == ["img_0", "img_1"] * 2


def test_pictures_stand_where_the_report_may_show_them(source: WithCodecs, tmp_path: Path) -> None:
    probe = CodecCeiling(config(metrics=("psnr_rgb",), pictures=2))
    found = probe.measure(source)
    assert set(found.pictures) == {f"{name}_{k}" for name in ("hr", "pca_whole", "pca_small") for k in range(2)}
    assert probe.show(found, look()).pictures == ()
    for name, pixels in found.pictures.items():
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    own = {name: tmp_path / f"{name}.png" for name in found.pictures}
    shown = probe.show(found, look(own=own)).pictures
    assert len(shown) == 1 and shown[0].png.startswith(b"\x89PNG")
    assert shown == probe.show(found, look(own=own)).pictures


@pytest.mark.parametrize(
    ("codecs", "said"),
    [("tiny_dino_vit", "the encoder 'tiny_dino_vit' has no latents"), ("pca_tiny", "unknown encoder 'pca_tiny'")],
)
def test_what_has_no_latents_is_refused(tmp_path: Path, codecs: str, said: str) -> None:
    with pytest.raises(SrledgerError) as error:
        params_with(tmp_path, codecs).probes["mine"]
    assert said in str(error.value) and "params.yaml:" in str(error.value)


def test_codecs_that_a_scale_lacks_are_passed_over_and_those_without_weights_named(tmp_path: Path) -> None:
    params, layout = params_with(tmp_path), Layout("quick", tmp_path)
    with PackWriter(layout.packs("faces_x4") / "test_hr", np.uint8) as pack:
        pack.add("a", HR[0])
    for name in ("pca_whole", "pca_small"):
        write_json(layout.encoder(name) / "encoder.json", {"name": name})
    record = run._prepare(params, layout, params.probes["mine"])
    assert record is not None and record["encoders"] == ["pca_whole", "pca_small"] and list(record["missing"]) == ["sd"]
    assert "weights 'sd21_vae' are not among" in record["missing"]["sd"]
    assert set(record["inputs"]) == {"hr", "pca_whole", "pca_small"}
    alone = params_with(tmp_path, "sd")
    record = run._prepare(alone, layout, alone.probes["mine"])
    assert record is not None and run._why_not(alone.probes["mine"], record) == "none of its codecs is at hand"
    gone = params_with(tmp_path, "kl_other")
    assert run._prepare(gone, layout, gone.probes["mine"]) is None
