"""OSDFace's embedder: what is associated, which branch learns when, what a collapse says, what comes of a training."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT
from pydantic import ValidationError

from srledger.config import Params
from srledger.data.synthetic_faces import Config as FacesConfig
from srledger.data.synthetic_faces import SyntheticFaces
from srledger.degradations.face_dual import Config as DualConfig
from srledger.degradations.face_dual import FaceDual
from srledger.encoders import Encoder
from srledger.encoders._association import Association
from srledger.encoders._quantiser import vectors_of
from srledger.encoders.vre import Config, Vre, VreLearning
from srledger.errors import SrledgerError
from srledger.layout import Layout
from srledger.methods import Batch
from srledger.packs import PackWriter
from srledger.pipeline_encoders import load_encoder, write_encoder
from srledger.provenance import stage_code
from srledger.seeds import numpy_generator, torch_generator
from srledger.settings import Dataset, EncoderSpec, Task
from srledger.training.batches import Examples, to_tensor
from srledger.training.config import TrainingConfig

TINY = Config(widths=(8, 16), codes=32, code_channels=8, prompts=6, norm_groups=4, usage_decay=0.9, revive=True)
LEARNT = TINY.model_copy(update={"phases": (30.0, 15.0, 25.0)})  # of so few steps ten would match little
TRAINING = TrainingConfig(
    steps=70, batch_size=8, learning_rate=3e-3, learning_rate_schedule="constant", threads=1, ema_decay=0.0,
    weight_decay=0.0, log_every_steps=5, checkpoint_every_steps=40,
)  # fmt: skip


def tiny(**settings: object) -> Vre:
    torch.manual_seed(0)
    return Vre(TINY.model_copy(update=settings), {})


def batch(progress: float, size: int = 3, side_px: int = 16) -> Batch:
    hr = torch.rand(size, 3, side_px, side_px, generator=torch_generator("hr"))
    lr = F.avg_pool2d(hr, 3, 1, 1)
    return Batch(lr, hr, torch.ones_like(hr[:, :1]), progress, torch_generator("loss", round(progress * 1000)))


def pair(images: int = 3, width: int = 8, side: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    first, second = (torch.randn(images, width, side, side, generator=torch_generator("pair", k)) for k in range(2))
    return first, second


def test_the_association_is_the_symmetric_cross_entropy_of_all_places_of_a_batch() -> None:
    hq, lq = pair()
    found = Association("batch")(hq, lq)
    h, l = (F.normalize(vectors_of(features).reshape(-1, 8), dim=1) for features in (hq, lq))  # noqa: E741
    similar = h @ l.T / 0.07
    own = torch.arange(48)
    expected = (F.cross_entropy(similar, own) + F.cross_entropy(similar.T, own)) / 2
    assert float(found.loss) == pytest.approx(float(expected), rel=1e-5)
    assert float(found.accuracy_hq) == pytest.approx(float((similar.argmax(1) == own).float().mean()))
    assert float(found.accuracy_lq) == pytest.approx(float((similar.argmax(0) == own).float().mean()))


def test_the_association_within_images_is_the_mean_of_that_of_each() -> None:
    hq, lq = pair()
    within, whole = Association("image"), Association("batch")
    each = [float(whole(hq[k : k + 1], lq[k : k + 1]).loss) for k in range(3)]
    assert float(within(hq, lq).loss) == pytest.approx(sum(each) / 3, rel=1e-5)


@pytest.mark.parametrize(("scope", "places"), [("batch", 48), ("image", 16)])
def test_features_that_say_nothing_are_at_chance_level(scope: str, places: int) -> None:
    same = torch.ones(3, 8, 4, 4)
    association = Association(scope)  # type: ignore[arg-type]
    assert float(association(same, same).loss) == pytest.approx(math.log(places), rel=1e-5)
    assert association.chance_level(3, 16) == pytest.approx(math.log(places))


def test_the_temperature_is_learned_from_its_start_and_has_a_limit() -> None:
    association = Association("batch")
    assert float(association.log_scale.exp()) == pytest.approx(1 / 0.07)
    hq, lq = pair()
    association(hq, lq).loss.backward()
    assert association.log_scale.grad is not None and float(association.log_scale.grad) != 0
    with torch.no_grad():
        association.log_scale.fill_(9.0)
    association.log_scale.grad = None
    association(hq, lq).loss.backward()
    assert float(association.log_scale) == pytest.approx(math.log(100))
    assert association.log_scale.grad is not None and float(association.log_scale.grad) > 0, "it may come back"


def test_places_that_are_their_own_counterparts_are_found() -> None:
    hq, _ = pair()
    found = Association("batch")(hq, 3 * hq)
    assert float(found.accuracy_hq) == float(found.accuracy_lq) == 1 and float(found.loss) < 1


def learning(vre: Vre, progress: float) -> set[str]:
    """Which parts get a gradient at that progress, and what the loss says beside."""
    learner = vre.learner(1)
    learner.loss(batch(progress))["total"].backward()
    found = set()
    for part, module in (("hq", vre.hq), ("lq", vre.lq), ("association", learner.association)):
        reached = {value.grad is not None for value in module.parameters()}
        assert len(reached) == 1, "a branch learns whole"
        found |= {part} if reached.pop() else set()
    return found


@pytest.mark.parametrize(
    ("progress", "parts"),
    [
        (0.0, {"hq"}), (0.714, {"hq"}), (0.715, {"lq"}), (0.857, {"lq"}),
        (0.858, {"hq", "lq", "association"}), (0.999, {"hq", "lq", "association"}),
    ],
)  # fmt: skip
def test_the_branches_learn_in_the_authors_proportion_and_are_then_associated(progress: float, parts: set[str]) -> None:
    assert learning(tiny(), progress) == parts


def test_the_third_phase_as_its_settings_have_it() -> None:
    assert learning(tiny(hq_frozen=True), 0.9) == {"lq", "association"}
    assert learning(tiny(association_weight=0.0), 0.9) == {"hq", "lq"}
    assert learning(tiny(phases=(1.0, 1.0, 2.0)), 0.5) == {"hq", "lq", "association"}


def test_the_terms_add_up_and_the_curves_have_each_domain() -> None:
    vre = tiny(association_weight=0.5, gradient_weight=0.0)
    terms = vre.learner(1).loss(batch(0.9))
    parts = ("pixel_hq", "codes_hq", "pixel_lq", "codes_lq")
    expected = sum(float(terms[name]) for name in parts) + 0.5 * float(terms["association"])
    assert float(terms["total"]) == pytest.approx(expected, rel=1e-5)
    assert float(terms["chance"]) == pytest.approx(math.log(3 * 16))
    assert {"usage_hq", "usage_lq", "perplexity_hq", "perplexity_lq", "matching_hq", "matching_lq"} <= set(terms)
    assert all(term.ndim == 0 for term in terms.values())
    without = tiny(association_weight=0.0).learner(1).loss(batch(0.9))
    assert "matching_hq" in without, "the ablation's matching is told too"
    alone = vre.learner(1).loss(batch(0.1))
    assert not any(name.endswith("lq") or name == "association" for name in alone)


def test_the_distance_is_l1_of_images_in_minus_1_to_1_with_their_gradients() -> None:
    vre, given = tiny(revive=False, gradient_weight=2.0), batch(0.0)
    terms = vre.learner(1).loss(given)
    with torch.no_grad():
        features = vre.hq.features(given.hr)
        decoded = vre.hq.decode(vre.hq.codebook(features).values)
    wrong = (decoded * 2 - 1) - (given.hr * 2 - 1)
    gradient = wrong.diff(dim=2).abs().mean() + wrong.diff(dim=3).abs().mean()
    assert float(terms["pixel_hq"]) == pytest.approx(float(wrong.abs().mean()), rel=1e-4)
    assert float(terms["total"]) == pytest.approx(float(terms["pixel_hq"] + terms["codes_hq"] + 2 * gradient), rel=1e-4)


def test_a_branch_counts_its_own_codes_and_none_counts_when_it_is_used() -> None:
    vre = tiny()
    learner = vre.learner(1)
    learner.loss(batch(0.1))
    assert vre.hq.codebook.uses.sum() == pytest.approx(0.1 * 3 * 16) and vre.lq.codebook.uses.sum() == 0
    counted = vre.hq.codebook.uses.clone()
    vre.train()
    vre.prompts_of(batch(0).lr, "hq")
    vre.restore_by_codes(batch(0).lr)
    assert torch.equal(vre.hq.codebook.uses, counted), "a method that holds it and trains changes nothing of it"


def test_prompts_come_from_the_branch_that_is_asked_for() -> None:
    vre, images = tiny().eval(), batch(0).lr
    for source, branch in (("hq", vre.hq), ("lq", vre.lq)):
        found = vre.prompts_of(images, source)  # type: ignore[arg-type]
        assert found.shape == (3, 6, 8)
        assert torch.equal(found, branch.codebook.distinct_codes(branch.features(images), 6))
        codes = {tuple(code) for code in branch.codebook.codes.tolist()}
        assert all(tuple(row) in codes or not any(row) for row in found.flatten(0, 1).tolist())


@pytest.mark.parametrize("size", [(16, 16), (17, 22), (3, 5)])
def test_images_of_any_size_are_restored_by_hq_codes_of_lq_features(size: tuple[int, int]) -> None:
    vre = tiny().eval()
    images = torch.rand(2, 3, *size, generator=torch_generator("any"))
    with torch.no_grad():
        restored = vre.restore_by_codes(images)
        features = vre.lq.features(images)
        indices, _ = vre.hq.codebook.nearest(vectors_of(features))
        codes = vre.hq.codebook.codes[indices].transpose(1, 2).unflatten(2, features.shape[-2:])
        expected = vre.hq.decode(codes)[..., : size[0], : size[1]]
    assert restored.shape == images.shape and torch.allclose(restored, expected, atol=1e-5)
    trained = images.requires_grad_()
    vre.restore_by_codes(trained).sum().backward()
    assert trained.grad is not None and trained.grad.abs().sum() > 0


def used(vre: Vre, hq: int, lq: int) -> Vre:
    for branch, count in ((vre.hq, hq), (vre.lq, lq)):
        branch.codebook.count_uses(torch.arange(count))
    return vre


def test_a_collapsed_codebook_is_an_error_that_says_what_to_do() -> None:
    used(tiny(), 2, 2).check_learned()  # 2 of 32 are 6 %
    for hq, lq, name in ((1, 32, "HQ"), (32, 1, "LQ")):
        with pytest.raises(SrledgerError, match=f"the {name} codebook of the embedder has collapsed") as caught:
            used(tiny(), hq, lq).check_learned()
        for words in ("1 of 32 codes in use", "perplexity 1.0", "at least 5%", "config.revive: true"):
            assert words in str(caught.value), str(caught.value)


def test_a_codebook_of_which_one_code_has_all_places_has_collapsed_though_others_were_used() -> None:
    vre = used(tiny(), 32, 32)
    vre.lq.codebook.count_uses(torch.zeros(10_000, dtype=torch.int64))
    assert float(vre.lq.codebook.usage) == 1
    with pytest.raises(SrledgerError, match="the LQ codebook") as caught:
        vre.check_learned()
    assert "32 of 32 codes in use, perplexity 1.0" in str(caught.value)


def test_a_task_of_another_scale_factor_is_refused() -> None:
    with pytest.raises(SrledgerError, match="degraded and clean images of one size") as caught:
        tiny().learner(4)
    assert "scale factor 4" in str(caught.value)


def test_settings_that_make_no_embedder_are_refused() -> None:
    wrongs = ({"patch_px": 3}, {"widths": (8, 0)}, {"phases": (5.0, 0.0, 1.0)}, {"prompts": 2000}, {"codes": 1})
    for wrong in wrongs:
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            Config.model_validate(wrong)


def test_the_sizes_of_the_default_embedder() -> None:
    config = Config()
    with torch.device("meta"):
        vre = Vre(config, {})
    assert vre.hq.factor == vre.lq.factor == 8 and Vre.prompt_width(config) == 256
    places = (128 // vre.hq.factor) ** 2
    assert Vre.prompt_count(config) / places == pytest.approx(77 / 256), "the paper's share"
    for scale, side in (("quick", 32), ("celeba_cpu", 64)):
        config = Params.load(ROOT, scale).encoders["vre"].config  # type: ignore[assignment]
        factor = config.patch_px * 2 ** (len(config.widths) - 1)
        assert config.prompts / (side // factor) ** 2 == pytest.approx(77 / 256, abs=0.02), scale


def test_an_embedder_rests_on_its_own_helpers_and_others_do_not() -> None:
    def helpers(plugin: str) -> set[str]:
        return {path.name for path in stage_code(ROOT, "train_encoder", {"key": plugin, "encoder": plugin})}

    own = {"_quantiser.py", "_association.py", "_vq_autoencoder.py"}
    assert own | {"autoencoder.py"} <= helpers("vre")
    assert not own & helpers("kl_vae") and not own & helpers("tiny_dino_vit")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with drawn faces of 16 px and their degraded selves, as a task of scale factor 1 keeps them."""
    made = tmp_path_factory.mktemp("root")
    for name in ("dvc.yaml", "src", "stages"):
        (made / name).symlink_to(ROOT / name)
    source = SyntheticFaces(FacesConfig(seed=0, size_px=16, n_identities={"train": 24, "val": 1, "test": 4}))
    images = list(source.images())
    degradation = FaceDual(DualConfig(), 1)
    for split in ("train", "test"):
        folder = Layout("smoke", made).packs("blind")
        with PackWriter(folder / f"{split}_hr", np.uint8) as hrs, PackWriter(folder / f"{split}_lr", np.uint8) as lrs:
            for image in images:
                if image.split == split:
                    hrs.add(image.id, image.pixels)
                    lrs.add(image.id, degradation.degrade(image.pixels, numpy_generator(image.id), None)[0])
    return made


def spec(config: Config = LEARNT, scale_factor: int = 1, **training: object) -> EncoderSpec:
    dataset = Dataset("faces", "synthetic_faces", None)
    task = Task("blind", dataset, "face_dual", DualConfig(), scale_factor, 16, ())
    return EncoderSpec("small_vre", "vre", "trained", config, TRAINING.model_copy(update=training), task)


def written(root: Path, folder: Path, made: EncoderSpec) -> Encoder:
    folder.mkdir()
    write_encoder(made, Layout("smoke", root), folder)
    return load_encoder(folder)


@pytest.fixture(scope="module")
def learnt(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Vre, Path]:
    folder = tmp_path_factory.mktemp("encoders") / "small_vre"
    encoder = written(root, folder, spec())
    assert isinstance(encoder, Vre)
    return encoder, folder


def test_it_learns_to_use_its_codes_to_match_and_to_give_images_back(learnt: tuple[Vre, Path], root: Path) -> None:
    encoder, folder = learnt
    lines = [line.split(",") for line in (folder / "curves.csv").read_text(encoding="utf-8").splitlines()[1:]]
    curves: dict[str, list[float]] = {}
    for line in lines:
        curves.setdefault(line[-2], []).append(float(line[-1]))
    for name in ("pixel_hq", "pixel_lq", "association"):
        assert curves[f"loss_{name}"][-1] < curves[f"loss_{name}"][0], name
    for name in ("hq", "lq"):
        assert curves[f"loss_usage_{name}"][-1] > 0.3 and curves[f"loss_perplexity_{name}"][-1] > 4
        assert curves[f"loss_matching_{name}"][-1] > 10 / (8 * 16), "well above chance"
    examples = Examples(Layout("smoke", root).packs("blind"), None, "test")
    hr, lr = (to_tensor([examples[k][part] for k in range(len(examples))]) for part in (0, 1))
    with torch.no_grad():
        restored, untrained = encoder.restore_by_codes(lr), tiny().restore_by_codes(lr)
        prompts = encoder.prompts_of(lr, "lq")
    assert (restored - hr).abs().mean() < (hr.mean(dim=(0, 2, 3), keepdim=True) - hr).abs().mean()
    assert (restored - hr).abs().mean() < (untrained - hr).abs().mean()
    assert (prompts.abs().sum(dim=2) > 0).float().mean() > 0.5, "images have several distinct codes"
    assert len({tuple(one.flatten().tolist()) for one in prompts}) > 1, "and not the same ones"


def test_it_is_the_same_again(learnt: tuple[Vre, Path], root: Path, tmp_path: Path) -> None:
    encoder, _ = learnt
    again = written(root, tmp_path / "again", spec(checkpoint_every_steps=33))
    for (name, value), other in zip(encoder.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(value, other), name


def test_a_collapse_stops_the_stage_that_makes_the_encoder(root: Path, tmp_path: Path) -> None:
    """A codebook that is far too large for what it sees: an image of four places a step."""
    config = TINY.model_copy(update={"patch_px": 4, "codes": 512, "usage_decay": 0.5})
    with pytest.raises(SrledgerError, match="codebook of the embedder has collapsed") as caught:
        written(root, tmp_path / "collapsed", spec(config, steps=14, batch_size=1))
    assert "encoder small_vre" in str(caught.value) and "of 512 codes" in str(caught.value)
    assert not (tmp_path / "collapsed" / "encoder.json").exists()


def test_the_stage_refuses_a_task_of_another_scale_factor(root: Path, tmp_path: Path) -> None:
    with pytest.raises(SrledgerError, match="of one size"):
        written(root, tmp_path / "wrong", spec(scale_factor=4))


def test_the_learner_is_the_encoders(root: Path) -> None:
    learner = tiny().learner(1)
    assert isinstance(learner, VreLearning) and isinstance(learner.learned, Vre)
