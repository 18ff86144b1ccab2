"""The codebook restorer: what it starts as, what learns from which term, what restores, what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT
from osdface_tools import PRIOR
from pydantic import ValidationError

from srledger.config import Params
from srledger.diffusion.edges import ea_dists
from srledger.encoders._quantiser import vectors_of
from srledger.encoders.prompted_diffusion import PromptedDiffusion
from srledger.encoders.vre import Config as VreConfig
from srledger.encoders.vre import Vre
from srledger.errors import SrledgerError
from srledger.methods import Batch, vqfr_like
from srledger.provenance import stage_code
from srledger.seeds import torch_generator

VRE = VreConfig(widths=(8, 12, 16), codes=32, code_channels=8, prompts=6, norm_groups=4)
SIZES = {"width": 8, "norm_groups": 4}
NO_PRIOR = torch.ones(1, 1, 1, 1)


def embedder() -> Vre:
    """An untrained embedder whose codes lie among its features, so that images have many."""
    torch.manual_seed(0)
    vre = Vre(VRE, {})
    with torch.no_grad():
        features = vectors_of(vre.hq.features(images(4, 3, 32, 32, name="codes"))).flatten(0, 1)
        vre.hq.codebook.codes.copy_(features[:: len(features) // VRE.codes][: VRE.codes])
    return vre


def tiny(learnt: bool = True, scale_factor: int = 1, **settings: object) -> vqfr_like.VqfrLike:
    """A small method; ``learnt``: what starts at zero is not zero."""
    vre = embedder()
    method = vqfr_like.VqfrLike(vqfr_like.Config.model_validate({**SIZES, **settings}), scale_factor, vre)
    if learnt:
        generator = torch_generator("learnt")
        for value in method.parameters():
            if value.requires_grad and not value.any():
                value.data = torch.randn(value.shape, generator=generator) * 0.3
    return method


def images(*shape: int, name: str = "images") -> torch.Tensor:
    return torch.rand(*shape, generator=torch_generator(name, *shape))


def batch(size: int = 2, factor: int = 1) -> Batch:
    hr, lr = images(size, 3, 16, 16, name="hr"), images(size, 3, 16 // factor, 16 // factor, name="lr")
    return Batch(lr, hr, torch.ones_like(hr[:, :1]), 0.5, torch_generator("loss"))


def restored(method: vqfr_like.VqfrLike, lr: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return method.eval().restore(lr, NO_PRIOR, list(range(len(lr))))


@pytest.mark.parametrize("settings", [{}, {"parallel_decoder": False}, {"feature_blocks": 0}])
def test_it_starts_as_the_image_of_the_nearest_clean_codes(settings: dict[str, object]) -> None:
    method, lr = tiny(learnt=False, **settings), images(2, 3, 16, 24)
    with torch.no_grad():
        expected = method.encoder.restore_by_codes(lr)
    assert torch.allclose(restored(method, lr), expected, atol=1e-6)
    changed = restored(tiny(**settings), lr)
    assert not torch.allclose(changed, expected, atol=1e-3), "what learns has a say"


def test_the_ratio_goes_from_the_codes_image_to_the_whole_and_no_loss_reads_it() -> None:
    lr, whole = images(2, 3, 16, 16), tiny()
    codes, half = tiny(fidelity_ratio=0.0), tiny(fidelity_ratio=0.5)
    assert torch.allclose(restored(codes, lr), restored(tiny(parallel_decoder=False), lr), atol=1e-6)
    ends = [restored(method, lr) for method in (codes, whole)]
    assert torch.allclose(restored(half, lr), (ends[0] + ends[1]) / 2, atol=1e-5)
    assert not torch.allclose(*ends, atol=1e-2)
    totals = [method.loss(batch())["total"].detach() for method in (whole, codes, half)]
    assert totals[0] == totals[1] == totals[2]
    assert vqfr_like.Config.sampling_settings == {"fidelity_ratio"}


def test_the_texture_features_are_those_that_the_frozen_decoder_enlarges() -> None:
    method = tiny()
    codes = images(2, 8, 2, 3)
    with torch.no_grad():
        texture, image = method._decoded(codes)
        degraded = method._degraded(images(2, 3, 15, 18))
        expected = method.encoder.hq.decode(codes)
    assert torch.allclose((image + 1) / 2, expected, atol=1e-6)
    assert [one.shape for one in texture] == [(2, 16, 2, 3), (2, 12, 4, 6), (2, 8, 8, 12)]
    assert [one.shape for one in degraded.maps] == [one.shape for one in texture], "LQ maps stand on the same grids"
    assert degraded.images.shape == image.shape and torch.equal(
        degraded.images[..., 15, :], degraded.images[..., 14, :]
    )


def test_the_parallel_decoder_sees_texture_features_lq_features_and_both_images() -> None:
    network = tiny().parallel
    assert network is not None
    texture, maps = ([images(1, c, s, s, name=name) for c, s in ((16, 2), (12, 4), (8, 8))] for name in "tm")
    both = [images(1, 3, 16, 16, name=name) for name in ("codes", "lq")]
    given = [*texture, *maps, *both]
    for tensor in given:
        tensor.requires_grad_(True)
    added = network(texture, maps, both)
    added.sum().backward()
    assert added.shape == (1, 3, 16, 16)
    assert all(tensor.grad is not None and tensor.grad.abs().max() > 0 for tensor in given)


def learning(method: vqfr_like.VqfrLike, term: str) -> dict[str, set[bool]]:
    """Whether parameters of each part get a gradient that is not all zero from one term."""
    method.zero_grad(set_to_none=True)
    method.loss(batch())[term].backward()
    found: dict[str, set[bool]] = {}
    for name, value in method.named_parameters():
        has = value.grad is not None and bool(value.grad.abs().max() > 0)
        found.setdefault(name.partition(".")[0], set()).add(has)
    return found


def test_a_gradient_reaches_all_that_learns_and_nothing_frozen() -> None:
    method = tiny().train()
    assert learning(method, "total") == {"encoder": {False}, "code_features": {True}, "parallel": {True}}
    assert learning(method, "codes") == {"encoder": {False}, "code_features": {True}, "parallel": {False}}
    assert learning(method, "pixel") == {"encoder": {False}, "code_features": {False}, "parallel": {True}}
    assert not method.encoder.training and not any(value.requires_grad for value in method.encoder.parameters())


def test_a_training_changes_no_frozen_tensor() -> None:
    method = tiny(learnt=False).train()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    optimizer = torch.optim.AdamW([value for value in method.parameters() if value.requires_grad], lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        method.loss(batch())["total"].backward()
        optimizer.step()
    changed = {name for name, value in method.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if not name.startswith("encoder.")}


def test_features_at_the_clean_codes_have_no_code_loss_and_all_codes_right(monkeypatch: pytest.MonkeyPatch) -> None:
    method, given = tiny(), batch()
    with torch.no_grad():
        indices, _ = method.encoder.hq.codebook.nearest(vectors_of(method.encoder.hq.features(given.hr)))
        clean = method.encoder.hq.codebook.codes[indices].transpose(1, 2).unflatten(2, (2, 2))
    told = {name: value.detach() for name, value in method.loss(given).items()}
    with torch.no_grad():
        features = method._degraded(given.lr).features
    assert float(told["codes"]) == pytest.approx(float(F.mse_loss(features, clean)), rel=1e-5) and told["codes"] > 0
    monkeypatch.setattr(method.code_features, "forward", lambda features: clean)
    terms = method.loss(given)
    assert float(terms["codes"]) == pytest.approx(0, abs=1e-12) and float(terms["right_codes"]) == 1


def test_the_loss_is_the_weighted_sum_of_its_terms() -> None:
    method, given = tiny(pixel_weight=0.7, code_weight=0.3, ea_dists_weight=0.5, scale_factor=2), batch(factor=2)
    terms = {name: value.detach() for name, value in method.loss(given).items()}
    sr = restored(method, given.lr)
    assert float(terms["pixel"]) == pytest.approx(2 * float((sr - given.hr).abs().mean()), rel=1e-5)
    with torch.no_grad():
        assert float(terms["enc_ea_dists"]) == pytest.approx(float(ea_dists(sr, given.hr, method.encoder)), rel=1e-4)
    total = 0.7 * terms["pixel"] + 0.3 * terms["codes"] + 0.5 * terms["enc_ea_dists"]
    assert float(terms["total"]) == pytest.approx(float(total), rel=1e-6)
    assert "enc_ea_dists" not in tiny().loss(batch())


@pytest.mark.parametrize("size", [(17, 22), (5, 9), (32, 8)])
@pytest.mark.parametrize("parallel", [True, False])
def test_images_of_any_size_are_restored_each_by_itself(size: tuple[int, int], parallel: bool) -> None:
    method, lr = tiny(parallel_decoder=parallel), images(2, 3, *size)
    together = restored(method, lr)
    assert together.shape == lr.shape and torch.isfinite(together).all()
    assert torch.allclose(restored(method, lr[1:]), together[1:], atol=1e-5)
    larger = tiny(scale_factor=2, parallel_decoder=parallel)
    assert restored(larger, lr).shape == (2, 3, 2 * size[0], 2 * size[1])


def test_it_draws_nothing_and_sees_no_prior() -> None:
    lr = images(2, 3, 16, 16)
    first = restored(tiny(), lr)
    with torch.inference_mode():
        assert torch.equal(tiny().eval().restore(lr, images(2, 1, 16, 16), [8, 9]), first)
    assert torch.equal(tiny().loss(batch())["total"], tiny().loss(batch())["total"])


def test_another_encoder_is_refused() -> None:
    with pytest.raises(SrledgerError, match="associated") as caught:
        vqfr_like.VqfrLike(vqfr_like.Config(), 1, PromptedDiffusion(PRIOR, {}))
    for words in ("method vqfr_like", "PromptedDiffusion", "encoder: vre"):
        assert words in str(caught.value), str(caught.value)


ROW = "    method: vqfr_like\n    task: faces_blind\n    prior: uniform\n    encoder: vre\n"


@pytest.mark.parametrize("name", ["face_prior", "tiny_dino_vit", "none"])
def test_a_row_on_another_encoder_is_named(tmp_path: Path, name: str) -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    assert ROW in text
    (tmp_path / "params.yaml").write_text(text.replace(ROW, ROW.replace("vre", name)), encoding="utf-8")
    with pytest.raises(SrledgerError) as caught:
        Params.load(tmp_path, "quick").rows["vqfr_like"]
    for words in ("params.yaml:", f"can't build on the encoder '{name}'", "restore_by_codes: vre"):
        assert words in str(caught.value), str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"parallel_decoder": False, "code_weight": 0.0}, "nothing to learn"),
        ({"pixel_weight": 0.0}, "parallel decoder has nothing to learn"),
        ({"fidelity_ratio": 1.5}, "fidelity_ratio"),
        ({"width": 2}, "width"),
        ({"warp": True}, "warp"),
    ],
)
def test_bad_settings_are_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        vqfr_like.Config.model_validate(wrong)
    assert vqfr_like.Config(pixel_weight=0.0, ea_dists_weight=1.0).parallel_decoder


def test_a_row_rests_on_the_embedder_and_its_own_code() -> None:
    item = {"key": "vqfr_like", "method": "vqfr_like"}
    code = {path.name for path in stage_code(ROOT, "evaluate", item)}
    assert {"vqfr_like.py", "vre.py", "_quantiser.py", "_vq_autoencoder.py"} <= code
    assert not {"osdface.py", "prompted_diffusion.py"} & code
