"""Every encoder, prior, degradation and source that is found obeys its contract."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from srledger.config import Params
from srledger.degradations import Degradation
from srledger.encoders import Encoder
from srledger.encoders._detection import Asked, Detections
from srledger.identity_examples import identity_map
from srledger.landmark_examples import landmark_map
from srledger.methods import Batch
from srledger.plugins import plugin_class, plugin_config, plugin_names
from srledger.priors import Prior, PriorInput
from srledger.seeds import numpy_generator, torch_generator
from srledger.training.batches import to_tensor
from srledger.weights import catalogue


def face(side_px: int = 32, seed: int = 0) -> PriorInput:
    rng = np.random.default_rng(seed)
    landmarks = np.array([[0.375, 0.4375], [0.625, 0.4375], [0.5, 0.593], [0.3875, 0.697], [0.611, 0.697]]) * side_px
    hr = rng.integers(0, 256, (side_px, side_px, 3), np.uint8)
    return PriorInput("face", "train", hr, hr[::4, ::4], landmarks)


SMALL = {
    "tiny_dino_vit": {"width": 24, "depth": 2, "heads": 6, "hidden": 32, "size_px": 32},
    "tiny_dino_resnet": {"widths": (8, 8, 16, 16), "size_px": 32},
    "latent_diffusion": {"widths": (8, 8), "denoiser_width": 8, "denoiser_multipliers": (1,)},
    "prompted_diffusion": {
        "widths": (8, 8),
        "denoiser_widths": (8, 16),
        "head_channels": 8,
        "context_channels": 12,
        "captioner_width": 4,
    },
    "kl_vae": {"widths": (8, 16), "norm_groups": 8},
    "yolo_trained_here": {"width": 8, "input_px": 32},
    "vre": {"widths": (8, 8), "codes": 16, "code_channels": 8, "prompts": 6},
    "recogniser": {"size_px": 32, "widths": (8, 8, 16), "width": 16},
    "mobile_recogniser": {"size_px": 32, "stem": 8, "channels": 16, "last": 32, "width": 16},
}


def build_encoder(name: str) -> Encoder:
    """A small untrained encoder."""
    torch.manual_seed(0)
    return plugin_class("encoders", name)(plugin_config("encoders", name)(**SMALL.get(name, {})), {}).eval()


class FindsAFace(Encoder):
    """A detector that finds the same two boxes in every image, as shares of its sides."""

    detects = True
    classes = ("face", "eye")  # type: ignore[assignment]

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [images]

    def detect(
        self, images: Sequence[np.ndarray], landmarks: Sequence[np.ndarray | None], asked: Asked
    ) -> list[Detections]:
        shares = np.array([[0.1, 0.1, 0.9, 0.95], [0.25, 0.3, 0.5, 0.5]])
        sides = [np.tile(image.shape[1::-1], 2) for image in images]
        return [Detections(shares * side, ("face", "eye"), np.array([0.9, 0.4])) for side in sides]


def build_prior(name: str) -> Prior:
    """The prior, on an untrained encoder and another prior where it asks for them."""
    plugin, config = plugin_class("priors", name), plugin_config("priors", name)
    named = {key: key for key in ("of", "encoder") if key in config.model_fields}
    base = build_prior("yolo_world_landmarks" if plugin.needs_boxes else "landmark_gauss") if "of" in named else None
    if plugin.needs_detector:
        return plugin(config(**named), base, FindsAFace(config(**named), {}))
    network = "tiny_dino_vit" if plugin.needs_attention or plugin.needs_tokens else "tiny_dino_resnet"
    network = "vre" if plugin.needs_prompts else network
    return plugin(config(**named), base, build_encoder(network) if "encoder" in named else None)


def split(image: PriorInput, names: str) -> dict[str, PriorInput]:
    """A training split of drawn faces, in everything else as ``image``."""
    height, width = image.hr.shape[:2]
    images: dict[str, PriorInput] = {}
    for k, name in enumerate(names):
        drawn = face(seed=k)
        hr, lr = drawn.hr[:height, :width], drawn.lr[: height // 4, : width // 4]
        images[name] = dataclasses.replace(image, id=name, hr=hr, lr=lr, others=images, training=images)
    return images


@pytest.mark.parametrize("name", plugin_names("priors"))
def test_a_prior_map_is_finite_in_0_1_and_repeats(name: str) -> None:
    others = split(face(), "abc")
    prior, again = build_prior(name), build_prior(name)
    first, second = prior.map_of(others["a"]), again.map_of(others["a"])
    assert np.isfinite(first).all() and np.array_equal(first, second)
    if prior.has_tokens:
        assert first.ndim == 3 and first.shape[2] >= 2 and np.ptp(first, axis=(0, 1)).max() > 0
        return
    assert first.shape in {(32, 32), (1, 1)} and first.min() >= 0 and first.max() <= 1
    assert prior.constant or first.max() > first.min()


@pytest.mark.parametrize("name", plugin_names("priors"))
def test_a_prior_takes_images_that_are_not_square(name: str) -> None:
    wide = face()
    others = split(dataclasses.replace(wide, hr=wide.hr[:24], lr=wide.lr[:6]), "ab")
    prior = build_prior(name)
    shape = prior.map_of(others["a"]).shape
    if prior.needs_prompts:
        assert len(shape) == 3 and shape[0] > shape[1] == 1, "prompts have no places"
        return
    assert len(shape) == 3 and shape[0] < shape[1] if prior.has_tokens else shape in {(24, 32), (1, 1)}


@pytest.mark.parametrize("name", [name for name in plugin_names("priors") if plugin_class("priors", name).takes_tokens])
def test_a_prior_that_takes_tokens_gives_tokens_of_tokens(name: str) -> None:
    others = split(face(), "ab")
    base = build_prior("semantic_tokens")
    prior = plugin_class("priors", name)(plugin_config("priors", name)(of="of"), base)
    assert prior.has_tokens and prior.map_of(others["a"]).shape == base.map_of(others["a"]).shape
    assert not build_prior(name).has_tokens, "of maps it gives maps"


@pytest.mark.parametrize("name", [name for name in plugin_names("encoders") if name != "none"])
def test_an_encoder_is_what_it_says(name: str) -> None:
    plugin = plugin_class("encoders", name)
    assert set(plugin.weights) <= set(catalogue())
    if plugin.weights:
        assert name in plugin.weights, "its own name is that of its main file"
        return
    if plugin.detects and not plugin.learns:
        return  # a rule or a template finds boxes, and has no maps
    encoder = build_encoder(name)
    if plugin.fits:
        encoder.fit([face(seed=k) for k in range(3)])
    images = torch.rand(3, 3, 32, 40, generator=torch_generator("encoder"))
    with torch.no_grad():
        maps, vectors = encoder(images), encoder.embed(images)
        alone = torch.cat([encoder.embed(images[k : k + 1]) for k in range(3)])
    assert all(values.ndim == 4 and len(values) == 3 and torch.isfinite(values).all() for values in maps)
    assert vectors.ndim == 2 and torch.allclose(vectors, alone, atol=1e-5)
    if plugin.attends:
        assert encoder.attention(images).ndim == 4
    else:
        with pytest.raises(TypeError):
            encoder.attention(images)
    if plugin.tokenises:
        side = plugin.token_px(encoder.config)
        with torch.no_grad():
            tokens = encoder.tokens(images)
        assert tokens.shape == (3, plugin.token_width(encoder.config), 32 // side, 40 // side)
        assert torch.isfinite(tokens).all()
    else:
        with pytest.raises(TypeError):
            encoder.tokens(images)
    if plugin.prompts:
        count, width = plugin.prompt_count(encoder.config), plugin.prompt_width(encoder.config)
        with torch.no_grad():
            prompts = torch.stack([encoder.prompts_of(images, "lq"), encoder.prompts_of(images, "hq")])
        assert prompts.shape == (2, 3, count, width) and torch.isfinite(prompts).all()
    else:
        with pytest.raises(TypeError):
            encoder.prompts_of(images, "lq")
    if plugin.codes:
        with torch.no_grad():
            latents = encoder.encode(images)
            decoded = encoder.decode(latents)
        assert latents.shape == (3, encoder.latent_channels, 32 // encoder.factor, 40 // encoder.factor)
        assert decoded.shape == images.shape and decoded.dtype == latents.dtype == torch.float32
    else:
        with pytest.raises(TypeError):
            encoder.encode(images)
    if plugin.recognises:
        assert torch.allclose(vectors.norm(dim=1), torch.ones(3), atol=1e-5) and vectors.dtype == torch.float32
        with torch.no_grad():
            assert torch.equal(encoder.embed_faces(images, [None] * 3), vectors) or encoder.needs_landmarks
    if plugin.takes_context:
        assert plugin.denoises and encoder.context_channels >= 1
    else:
        with pytest.raises(TypeError):
            encoder.context_channels  # noqa: B018
    if plugin.denoises:
        assert isinstance(encoder.denoiser, torch.nn.Module)
    else:
        with pytest.raises(TypeError):
            encoder.denoiser  # noqa: B018


@pytest.mark.parametrize("name", [name for name in plugin_names("encoders") if plugin_class("encoders", name).detects])
def test_a_detector_keeps_boxes_in_the_image_and_repeats(name: str) -> None:
    plugin = plugin_class("encoders", name)
    if plugin.weights:
        return  # what it finds is tested where its files are made up
    torch.manual_seed(0)
    detector = plugin(plugin_config("encoders", name)(**SMALL.get(name, {})), {}).eval()
    faces = [face(seed=0), dataclasses.replace(face(seed=1), hr=face(seed=1).hr[:24])]
    if plugin.fits:
        detector.fit(faces[:1])
    images, points = [one.hr for one in faces], [one.landmarks for one in faces]
    found = detector.detect(images, points, Asked(confidence=0.0))
    alone = detector.detect(images[1:], points[1:], Asked(confidence=0.0))[0]
    assert np.array_equal(found[1].boxes_px, alone.boxes_px) and found[1].classes == alone.classes
    for image, boxes in zip(images, found, strict=True):
        height, width = image.shape[:2]
        assert boxes.boxes_px.shape == (len(boxes), 4) and boxes.confidences.shape == (len(boxes),)
        assert (boxes.boxes_px >= 0).all() and (boxes.boxes_px <= [width, height, width, height]).all()
        assert (boxes.boxes_px[:, 2:] > boxes.boxes_px[:, :2]).all() and (np.diff(boxes.confidences) <= 0).all()
        assert set(boxes.classes) <= set(detector.classes)
    assert detector.detect([], [], Asked()) == []
    with pytest.raises(TypeError):
        build_encoder("tiny_dino_vit").detect(images, points, Asked())


@pytest.mark.parametrize("name", [name for name in plugin_names("encoders") if name in SMALL])
def test_an_encoders_loss_trains_every_parameter(name: str) -> None:
    encoder = build_encoder(name)
    factor = 1 if encoder.learns_pairs else 4
    learner = encoder.identity_learner(factor, 4) if encoder.learns_identities else encoder.learner(factor)
    hr = torch.rand(4, 3, 32, 32, generator=torch_generator("learner"))
    prior = hr[:, :1]
    if encoder.learns_landmarks:
        points = face().landmarks
        assert points is not None
        prior = to_tensor([landmark_map(points, (32, 32))] * 4)
    if encoder.learns_identities:
        prior = to_tensor([identity_map(k % 3, (32, 32)) for k in range(4)])
    for progress in (0.0, 0.5, 0.99):  # an encoder may learn one part after another
        terms = learner.loss(Batch(hr[..., ::factor, ::factor], hr, prior, progress, torch_generator("views")))
        terms["total"].backward()
        assert all(term.ndim == 0 for term in terms.values())
    assert [key for key, value in learner.named_parameters() if value.requires_grad and value.grad is None] == []
    assert isinstance(learner.learned, Encoder)


@pytest.mark.parametrize("name", plugin_names("degradations"))
def test_a_degradation_reduces_by_its_factor_and_repeats(name: str) -> None:
    factor = 4 if plugin_class("degradations", name).gives_reference else 1  # else HR and LR are one image
    degradation: Degradation = plugin_class("degradations", name)(plugin_config("degradations", name)(), factor)
    hr = face().hr
    given = hr[::4, ::4].copy()
    first, drawn = degradation.degrade(hr, numpy_generator("test"), given)
    second, drawn_again = degradation.degrade(hr, numpy_generator("test"), given)
    assert first.shape == (32 // factor, 32 // factor, 3) and first.dtype == np.uint8
    assert np.array_equal(first, second) and drawn == drawn_again


@pytest.mark.parametrize("dataset", ["faces", "photos"])
def test_a_source_of_the_default_scale_repeats_and_keeps_splits_apart(dataset: str) -> None:
    spec = Params.load(scale="quick").datasets[dataset]
    source = plugin_class("data", spec.source)(spec.config)
    first = [(image.id, image.split, image.identity) for image, _ in zip(source.images(), range(60), strict=False)]
    second = [(image.id, image.split, image.identity) for image, _ in zip(source.images(), range(60), strict=False)]
    assert first == second and len({name for name, _, _ in first}) == len(first)
    assert source.redistributable and source.licence
