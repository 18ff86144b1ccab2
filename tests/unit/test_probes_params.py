"""Entries of probes: which report they belong to, what they may name, and what is said of a mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from srledger.config import Params
from srledger.errors import SrledgerError
from srledger.plugins import plugin_class, plugin_config, plugin_names
from srledger.probes import CodecsConfig, DetectorsConfig, EncodersConfig, MapsConfig, RowsConfig
from srledger.probing.spec import rows_of
from srledger.yamlmap import YamlFile

FILE = (Path(__file__).parents[2] / "params.yaml").read_text(encoding="utf-8")


def load(tmp_path: Path, entry: str, scale: str = "quick") -> Params:
    (tmp_path / "params.yaml").write_text(
        FILE.replace("\nprobes:\n", f"\nprobes:\n  mine: {entry}\n"), encoding="utf-8"
    )
    return Params(YamlFile.read(tmp_path / "params.yaml"), scale)


def test_a_probe_of_the_grid_takes_tables_and_rows(tmp_path: Path) -> None:
    config = "{ rows: [landmark_unet_heatmap, landmark_unet__floor_1_0] }"
    params = load(tmp_path, f"{{ title: grid, probe: colour_shift, of: ablations, config: {config} }}")
    assert "mine" not in params.probes and "mine" in params.ablations.probes
    spec = params.ablations.probes["mine"]
    assert rows_of(params.ablations, spec.config.rows) == (
        "landmark_unet__base", "landmark_unet__heatmap_off", "landmark_unet__floor_1_0"
    )  # fmt: skip


def test_settings_of_a_scale_lie_over_the_others(tmp_path: Path) -> None:
    entry = "{ title: t, probe: colour_shift, config: { rows: [rrdb] }, at: { quick: { config: { images: 7 } } } }"
    assert load(tmp_path, entry).probes["mine"].config.images == 7
    assert load(tmp_path, entry, "paper").probes["mine"].config.images == 100


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{ title: t, config: { rows: [rrdb] } }", "unknown probe 'mine'"),
        ("{ title: t, probe: colour_shift, config: { rows: [rdbr] } }", "unknown row 'rdbr'"),
        ("{ title: t, probe: colour_shift, config: { rows: [rrdb, rrdb_photos] } }", "belong to one task"),
        ("{ title: t, probe: colour_shift, config: { rows: [rrdb], seds: 2 } }", "nearest:  seeds"),
        ("{ title: t, probe: mean_matched, config: { rows: [rrdb], metrics: [psnr] } }", "unknown metric 'psnr'"),
        (
            "{ title: t, probe: attention_bins, config: { rows: [rrdb], prior: uniformly } }",
            "unknown prior 'uniformly'",
        ),
        ("{ title: t, probe: attention_bins, config: { rows: [rrdb_photos], prior: landmark_gauss } }", "not made for"),
        ("{ title: t, probe: mask_area, config: { task: faces, priors: [uniform] } }", "unknown task 'faces'"),
        ("{ title: t, probe: backbones, config: { task: faces_x4, encoders: [dino_vits] } }", "nearest:  dino_vits8"),
        (
            "{ title: t, probe: mask_area, config: { task: faces_x8, priors: [uniform], lower_bound: 1.5 } }",
            "lower_bound",
        ),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, entry: str, said: str) -> None:
    with pytest.raises(SrledgerError) as error:
        load(tmp_path, entry).probes["mine"]
    assert said in str(error.value) and "params.yaml:" in str(error.value)


@pytest.mark.parametrize("name", plugin_names("probes"))
def test_a_probe_says_what_it_shows_and_its_settings_are_of_a_known_kind(name: str) -> None:
    assert len((plugin_class("probes", name).__doc__ or "").strip()) > 60
    kinds = RowsConfig | MapsConfig | EncodersConfig | DetectorsConfig | CodecsConfig
    assert issubclass(plugin_config("probes", name), kinds)
