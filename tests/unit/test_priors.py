"""Priors: what each map says of its picture, what the controls keep of their base, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from srledger.ablation_lock import lock_text
from srledger.config import Params
from srledger.encoders import Encoder
from srledger.errors import SrledgerError
from srledger.gates.priors import subjects as gate_subjects
from srledger.layout import Layout
from srledger.packs import PackWriter
from srledger.plugins import plugin_class, plugin_config
from srledger.prior_config import tasks_of, why_no_prior
from srledger.prior_maps import build_prior, map_of
from srledger.priors import Prior, PriorInput
from srledger.priors._maps import as_map, chosen, stretched
from srledger.settings import PriorSpec
from srledger.split_inputs import SplitInputs

FILE = Path(__file__).parents[2] / "params.yaml"
TEXT = re.sub(r"(?m)^scale: \w+", "scale: quick", FILE.read_text(encoding="utf-8"))
SIDE = 32


def image(name: str = "a", hr: np.ndarray | None = None, others: Mapping[str, PriorInput] | None = None) -> PriorInput:
    hr = np.random.default_rng(ord(name[0])).integers(0, 256, (SIDE, SIDE, 3), np.uint8) if hr is None else hr
    return PriorInput(name, "train", hr, hr[::4, ::4], None, {} if others is None else others)


class Given(Prior):
    """A base whose maps are known: a ramp, steeper for later names."""

    def map_of(self, image: PriorInput) -> np.ndarray:
        return np.linspace(0, 1, SIDE * SIDE).reshape(SIDE, SIDE) ** (1 + ord(image.id[0]) - ord("a"))


def control(name: str, **settings: object) -> Prior:
    config = plugin_config("priors", name)(of="given", **settings)
    return plugin_class("priors", name)(config, Given(config))


@pytest.mark.parametrize("bound", [0.0, 0.3, 1.0])
def test_a_constant_covers_as_much_as_its_base(bound: float) -> None:
    values, base = control("constant", lower_bound=bound).map_of(image("b")), Given(None).map_of(image("b"))  # type: ignore[arg-type]
    assert values.shape == (1, 1)
    assert max(float(values[0, 0]), bound) == pytest.approx(np.maximum(base, bound).mean())


def test_inverted_and_base_add_up_to_one() -> None:
    assert np.allclose(control("inverted").map_of(image()) + Given(None).map_of(image()), 1)  # type: ignore[arg-type]


def test_random_smooth_keeps_the_values_and_not_the_places() -> None:
    prior, base = control("random_smooth"), Given(None).map_of(image("c"))  # type: ignore[arg-type]
    values = prior.map_of(image("c"))
    assert np.array_equal(np.sort(values, axis=None), np.sort(base, axis=None))
    assert abs(np.corrcoef(values.ravel(), base.ravel())[0, 1]) < 0.5
    neighbours = np.abs(np.diff(values, axis=1)).mean()
    assert neighbours < 0.2 * np.abs(np.diff(np.random.default_rng(0).permutation(base.ravel()))).mean(), "it is smooth"
    assert not np.array_equal(values, prior.map_of(image("d")))


@pytest.mark.parametrize("count", [2, 3, 9])
def test_shuffled_gives_every_map_once_and_none_to_its_own_image(count: int) -> None:
    others: dict[str, PriorInput] = {}
    others |= {name: image(name, others=others) for name in "abcdefghi"[:count]}
    prior, base = control("shuffled"), Given(None)  # type: ignore[arg-type]
    owner = {base.map_of(other)[SIDE // 2, 0]: name for name, other in others.items()}
    given = {name: owner[prior.map_of(other)[SIDE // 2, 0]] for name, other in others.items()}
    assert sorted(given.values()) == sorted(others) and all(name != whose for name, whose in given.items())


def test_shuffled_needs_another_image() -> None:
    others: dict[str, PriorInput] = {}
    others["a"] = image("a", others=others)
    with pytest.raises(SrledgerError, match="alone in its split"):
        control("shuffled").map_of(others["a"])


def made(name: str, **settings: object) -> Prior:
    return plugin_class("priors", name)(plugin_config("priors", name)(**settings))


def test_gaussian_is_one_in_the_middle_and_knows_no_picture() -> None:
    prior = made("gaussian")
    values = prior.map_of(image("a", np.zeros((33, 33, 3), np.uint8)))
    assert values[16, 16] == 1 and values[16, 16 + 8] == pytest.approx(np.exp(-0.5 * (8 / (0.25 * 33)) ** 2))
    assert np.array_equal(values, prior.map_of(image("b", np.full((33, 33, 3), 9, np.uint8))))


def square() -> np.ndarray:
    """A bright square in the upper left, on flat ground."""
    hr = np.full((64, 64, 3), 40, np.uint8)
    hr[12:28, 12:28] = 220
    return hr


@pytest.mark.parametrize("name", ["canny_edges", "sift"])
def test_an_innate_map_finds_what_there_is(name: str) -> None:
    values = made(name).map_of(image("a", square()))
    assert values[4:36, 4:36].mean() > 3 * values[40:, 40:].mean()
    assert values.min() == 0 and values.max() == 1


@pytest.mark.parametrize("name", ["canny_edges", "sift"])
def test_an_innate_map_of_a_blank_picture_is_zeros(name: str) -> None:
    values = made(name).map_of(image("a", np.full((64, 64, 3), 90, np.uint8)))
    assert values.shape == (64, 64) and not values.any()


class Looking(Encoder):
    """Head k attends to one corner of four; feature maps copy the picture's channels."""

    attends = True
    size_px = 16  # type: ignore[assignment]

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        assert images.shape[-1] == 16, "LR is enlarged to the encoder's size first"
        shallow = images.repeat(1, 3, 1, 1)
        return [shallow, torch.nn.functional.avg_pool2d(shallow, 4)]

    def attention(self, images: torch.Tensor) -> torch.Tensor:
        heads = torch.full((1, 6, 4, 4), 0.01)
        for k, (y, x) in enumerate([(0, 0), (0, 3), (3, 0), (3, 3), (1, 1), (2, 2)]):
            heads[0, k, y, x] = 0.5 + 0.1 * k
        return heads


def looking(name: str, **settings: object) -> Prior:
    config = plugin_config("priors", name)(encoder="looking", **settings)
    return plugin_class("priors", name)(config, None, Looking(config, {}))


def test_a_head_is_seen_where_it_looks() -> None:
    head1 = looking("dino_attention", map=1).map_of(image())
    assert head1.shape == (SIDE, SIDE) and head1[2, -3] == 1 and head1[-8:, :8].max() == 0
    highest, mean = (looking("dino_attention", map=which).map_of(image()) for which in ("max", "avg"))
    for y, x in ((2, 2), (2, -3), (-3, 2), (-3, -3)):
        assert highest[y, x] == pytest.approx(1) and mean[y, x] == pytest.approx(1)  # each head weighs alike
    assert highest.min() == 0


def test_a_unit_is_seen_where_it_is_active() -> None:
    hr = np.zeros((SIDE, SIDE, 3), np.uint8)
    hr[:8, :8] = 255
    for which in ("max", "avg", 0):
        values = looking("resnet_cam", map=which).map_of(image("a", hr))
        assert values[:8, :8].mean() > 0.5 and values[16:, 16:].mean() < 0.1


def test_flat_heads_are_zeros_and_not_rounding_errors() -> None:
    assert not stretched(np.full((2, 4, 4), 1 / 16) + 1e-9 * np.random.default_rng(0).random((2, 4, 4))).any()
    heads = np.stack([np.full((4, 4), 0.1), np.eye(4)])
    assert np.array_equal(chosen(heads, "max"), np.eye(4))


def test_a_map_is_resized_as_torch_does() -> None:
    values = np.random.default_rng(0).random((5, 7))
    theirs = torch.nn.functional.interpolate(torch.from_numpy(values)[None, None], size=(16, 24), mode="bilinear")
    assert np.allclose(as_map(values, (16, 24)), stretched(theirs[0, 0].numpy()))


def test_maps_go_by_id_and_sizes_are_checked(tmp_path: Path) -> None:
    with PackWriter(tmp_path / "train_hr", np.uint8) as hrs, PackWriter(tmp_path / "train_lr", np.uint8) as lrs:
        for name in "ab":
            hrs.add(name, image(name).hr)
            lrs.add(name, image(name).lr)
    (tmp_path / "images.json").write_text('[{"id": "a", "landmarks": null}, {"id": "b", "landmarks": [[1, 2]]}]')
    split = SplitInputs(tmp_path, "train")
    assert list(split) == ["a", "b"] and split["b"].others is split and split["a"].landmarks is None
    assert np.array_equal(split["b"].hr, image("b").hr) and split["b"].landmarks is not None
    assert map_of(Given(None), split["a"], "given").dtype == np.float16  # type: ignore[arg-type]

    class Wrong(Given):
        def map_of(self, image: PriorInput) -> np.ndarray:
            return np.zeros((3, 3))

    with pytest.raises(SrledgerError, match=r"wrong size\n.*prior given, image a"):
        map_of(Wrong(None), split["a"], "given")  # type: ignore[arg-type]


def load(tmp_path: Path, *edits: tuple[str, str], scale: str | None = None) -> Params:
    text = TEXT
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new, 1)
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    return Params.load(tmp_path, scale)


ROW = "variants:\n"
ON_ATTENTION = ROW + "  tried: { method: bicubic, task: faces_x4, prior: dino_max, encoder: none }\n"


MAP_MAX = "config: { encoder: tiny_dino_vit, map: max }"
RANDOM_MAX = "config: { encoder: random_vit, map: max }"
SIFT = "sift: { tasks: [faces_x4], scales: *maps_ablated }"
TRANSFER = "bicubic_on_faces_x4: { row: bicubic, task: faces_x4, prior: uniform }"
MISTAKES = [
    ((MAP_MAX, MAP_MAX.replace("vit,", "vitt,")), ["unknown encoder", "nearest:  tiny_dino_vit"]),
    (("config: { of: dino_max,", "config: { of: dino_maxx,"), ["unknown prior", "nearest:  dino_max"]),
    (("config: { of: dino_max,", "config: { of: dino_constant,"), ["made of each other", "dino_constant -> dino_con"]),
    ((RANDOM_MAX, RANDOM_MAX.replace("random_vit", "tiny_dino_resnet")), ["has no attention"]),
    (("weights: random\n", "weights: published\n"), ["can't be published", "trained or random"]),
    (("warmup_steps: 20", "seeds: [0, 1]"), ["an encoder has one seed"]),
    ((MAP_MAX, MAP_MAX.replace("max", "6")), ["map"]),
    (("lower_bound: 0.3", "lower_bound: 1.3"), ["lower_bound", "less than or equal to 1"]),
    ((SIFT, SIFT.replace("*maps_ablated", "[qick]")), ["nearest:  quick"]),
    (("    encoder: tiny_dino_vit\n", "    encoder: tiny_dino_vits\n"), ["nearest:  tiny_dino_vit"]),
    (("rows: [bicubic, land", "rows: [tried, bicubic, land"), ["is not made there", "priors.dino_max.scales"]),
]


@pytest.mark.parametrize(("edit", "said"), MISTAKES)
def test_a_mistake_is_named(tmp_path: Path, edit: tuple[str, str], said: list[str]) -> None:
    with pytest.raises(SrledgerError) as caught:
        load(tmp_path, (ROW, ON_ATTENTION), edit)
    for words in said:
        assert words in str(caught.value), str(caught.value)


def test_a_row_is_left_out_where_its_prior_is_not_made(tmp_path: Path) -> None:
    here = "    scales: *beyond_smoke\n  yolo_landmarks:"
    edits = (
        (ROW, ON_ATTENTION),
        (here, here.replace("*beyond_smoke", "[celeba_cpu, paper]")),
    )  # whose list has a row on it
    assert not load(tmp_path, *edits, scale="quick").is_active("tried")
    assert load(tmp_path, *edits, scale="paper").is_active("tried")


def test_a_prior_of_the_grid_is_made_by_its_graph_where_its_scales_say_and_taken_by_its_rows_alone(
    tmp_path: Path,
) -> None:
    for edit in ((ROW, ON_ATTENTION.replace("dino_max", "sift")), (TRANSFER, TRANSFER.replace("uniform", "sift"))):
        with pytest.raises(SrledgerError) as caught:
            load(tmp_path, edit)
        assert "for rows of the ablation grid alone" in str(caught.value)
        assert "move ablation_priors.sift to priors" in str(caught.value)
    edits = (
        (SIFT, SIFT.replace("*maps_ablated", "[quick, paper]")),
        ("        - yoda_factorial\n", "        - yoda_maps\n"),
    )
    quick, gpu = (load(tmp_path, *edits, scale=scale) for scale in ("quick", "celeba_gpu"))
    assert "  sift: {}\n" in lock_text(quick.ablations)
    assert "  dino_head_0: {}\n" not in lock_text(quick.ablations)
    assert "  sift: {}\n" not in lock_text(gpu.ablations) and "  dino_head_0: {}\n" in lock_text(gpu.ablations)
    layout = Layout("quick")
    assert "sift/faces_x4" in gate_subjects(quick, layout) and "sift/faces_x4" not in gate_subjects(gpu, layout)
    assert '"sift"' in lock_text(quick.ablations) and '"sift"' not in lock_text(gpu.ablations)
    assert '"prior": "sift", "prior_entry": "ablation_priors.sift"' in lock_text(quick.ablations)


PUBLISHED = (
    ("encoders:\n", "encoders:\n  dino_vits8: { encoder: dino_vits8, task: faces_x4, weights: published }\n"),
    (MAP_MAX, MAP_MAX.replace("tiny_dino_vit", "dino_vits8")),
    (ROW, ON_ATTENTION),
)


def test_a_row_on_weights_that_cannot_be_had_says_so(tmp_path: Path) -> None:
    params = load(tmp_path, *PUBLISHED)
    why = "weights 'dino_vits8' are not among scales.quick.weights (make weights)"
    assert why_no_prior(params, "dino_max") == params.why_unavailable("tried") == why
    assert not params.is_active("tried")
    of_quick = "    weights: []\n    evaluation: { saved_images"
    params = load(tmp_path, *PUBLISHED, (of_quick, of_quick.replace("[]", "[dino_vits8]")))
    why = "the sha256 of weights 'dino_vits8' is not known (enter it in weights.yaml)"
    assert params.why_unavailable("tried") == why


def test_what_a_prior_is_made_from_is_part_of_what_decides_a_row(tmp_path: Path) -> None:
    edit = (ROW, ON_ATTENTION)
    before = load(tmp_path, edit).rows["tried"].resolved()["prior"]
    rate = "learning_rate: 1.0e-3\n      warmup_steps"
    after = load(tmp_path, edit, (rate, rate.replace("1.0", "2.0")))
    assert before["encoder"]["plugin"] == "tiny_dino_vit"
    assert before != after.rows["tried"].resolved()["prior"]
    assert set(after.rows["bicubic"].resolved()["prior"]) == {"plugin", "config"}


def test_a_scale_without_attention_makes_none(tmp_path: Path) -> None:
    params = load(tmp_path, scale="smoke")
    assert why_no_prior(params, "dino_max") == "prior dino_max is not made at scale smoke"
    assert why_no_prior(params, "uniform") is None and tasks_of(params, "uniform") == tuple(params.tasks)


def test_a_prior_without_its_encoder_stops(tmp_path: Path) -> None:
    spec = load(tmp_path).priors["dino_max"]
    assert isinstance(spec, PriorSpec)
    with pytest.raises(SrledgerError, match="an encoder was not made"):
        build_prior(spec, Layout("quick", tmp_path))
