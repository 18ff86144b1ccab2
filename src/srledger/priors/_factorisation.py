"""Attribution-guided factorisation (Gur, Ali & Wolf, AAAI 2021) of a convolutional encoder, re-derived on autograd.

Two streams go back from a softmax over the pooled units to the image: the gradient, and an attribution that every
operation redistributes over its inputs. At the wide convolutions it is sharpened by where features and gradients look
like those of the places it favours (a non-negative factorisation of rank 2). The encoder's forward pass is recorded as
it runs, so any network of convolutions, norms, ReLU, pooling and additions will do. What the paper leaves open is
listed in docs/methods.md, E2.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.grad import conv2d_input
from torch.overrides import TorchFunctionMode

from srledger.encoders import Encoder
from srledger.errors import SrledgerError

LEAST = 1e-9  # a smaller sum of inputs is a rounding error: nothing is handed back through it
SHARPNESS = 10.0  # of the sigmoid that parts large features and gradients from small ones
SPACE = (1, 2, 3)
NORMS = {"batch_norm", "group_norm"}
POOLINGS = {"max_pool2d", "avg_pool2d", "adaptive_avg_pool2d"}
OUT_OF_PLACE: dict[str, Callable[..., torch.Tensor]] = {"__iadd__": torch.add, "add_": torch.add, "relu_": torch.relu}
ADDITIONS = {"add", "__add__"}
CONV_SETTINGS = ("stride", "padding", "dilation", "groups")


@dataclasses.dataclass(frozen=True)
class Step:
    """One operation of the forward pass of one image.

    Attributes:
        name: of the function. inputs: the maps that it reads, ``1 x C x h x w``.
        again: the operation on its first input; of a convolution, on (input, weight) and without bias.
        weight, settings: of a convolution; its stride, padding, dilation and groups.
    """

    name: str
    inputs: tuple[torch.Tensor, ...]
    output: torch.Tensor
    again: Callable[..., torch.Tensor]
    weight: torch.Tensor | None = None
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def back(self, weight: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        """The transposed convolution with ``weight``: gradients at the output to those at the input, ``K x ...``."""
        channels = weight.shape[1] * self.settings.get("groups", 1)
        size = (len(gradients), channels, *self.inputs[0].shape[2:])
        return conv2d_input(size, weight, gradients, **self.settings)


class Recorder(TorchFunctionMode):
    """Every operation from the first convolution on; those in place are made out of place, so that inputs stay."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Step] = []
        self._made: set[int] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = {key: value for key, value in (kwargs or {}).items() if key != "inplace"}
        name = getattr(func, "__name__", str(func))
        if name in OUT_OF_PLACE:
            func = OUT_OF_PLACE[name]
            name = func.__name__
        output = func(*args, **kwargs)
        maps = tuple(value for value in args if isinstance(value, torch.Tensor) and id(value) in self._made)
        if name == "conv2d":
            given = dict(zip(CONV_SETTINGS, args[3:], strict=False))
            given |= {key: kwargs[key] for key in CONV_SETTINGS if key in kwargs}
            self._record(Step(name, args[:1], output, functools.partial(F.conv2d, **given), args[1], given))
        elif maps and isinstance(output, torch.Tensor):
            self._record(Step(name, maps, output, lambda x: func(x, *args[1:], **kwargs)))
        return output

    def _record(self, step: Step) -> None:
        self.steps.append(step)
        self._made.add(id(step.output))


def attribution_maps(encoder: Encoder, image: torch.Tensor, ranks: Sequence[int]) -> torch.Tensor:
    """Where the pixels lie that speak for some pooled units of an image: ``K x h x w`` in [-1, 1], a map per rank.

    ``h x w`` is the grid of the first convolution's output. An image whose every channel is constant gets zeros.

    Args:
        image: ``3 x H x W`` in [0, 1]; one alone, so that no map depends on others. ranks: 0 is its largest unit.

    Raises:
        SrledgerError: the encoder does something to its maps that there is no rule for.
    """
    with torch.enable_grad():
        with Recorder() as recorder:
            deepest = encoder(image[None].detach().requires_grad_())[-1]
        steps = recorder.steps
        pooled = deepest.mean(dim=(2, 3))
        outputs = [step.output for step in steps if step.weight is not None]
        found = [
            torch.autograd.grad(probability, [pooled, *outputs], retain_graph=True, allow_unused=True)
            for probability in _probabilities_of(pooled[0], ranks)
        ]
    of_units, *of_outputs = zip(*found, strict=True)
    gradients = {
        id(output): torch.cat(one) for output, one in zip(outputs, of_outputs, strict=True) if one[0] is not None
    }
    pixels = _back(steps, deepest, pooled.detach() * torch.cat(of_units), gradients).sum(dim=1)
    # Behind a stride some pixels are seen by more windows than others; the mean over the stride does not show that.
    pixels = F.adaptive_avg_pool2d(pixels, steps[0].output.shape[-2:])
    return ratio(pixels, pixels.abs().amax(dim=(1, 2), keepdim=True))


def _probabilities_of(pooled: torch.Tensor, ranks: Sequence[int]) -> list[torch.Tensor]:
    """Of each chosen unit: the softmax of all, each weighted by a Gaussian around it, so that rivals weigh most."""
    order = pooled.detach().argsort(descending=True, stable=True)
    found = []
    for unit in (order[rank] for rank in ranks):
        logit = pooled[unit]
        spread = (pooled - logit).abs().amax().clamp_min(LEAST)
        found.append((logit * torch.exp(-0.5 * ((pooled - logit) / spread) ** 2)).softmax(dim=0)[unit])
    return found


def _back(
    steps: list[Step], deepest: torch.Tensor, units: torch.Tensor, gradients: Mapping[int, torch.Tensor]
) -> torch.Tensor:
    """The attribution of the image's channels, ``K x 3 x H x W``, of that of the pooled ``units``, ``K x C``."""
    attributions = {id(deepest): shares(lambda maps: maps.mean(dim=(2, 3)), deepest, units)}
    ends_branch: set[int] = set()  # maps that only norms part from an addition
    made = {id(step.output) for step in steps}
    for step in reversed(steps):
        first, attribution = id(step.inputs[0]), attributions.pop(id(step.output), None)
        if attribution is None:
            continue
        if step.weight is None:
            handed = _handed_back(step, attribution)
            if step.name in ADDITIONS or (step.name in NORMS and id(step.output) in ends_branch):
                ends_branch.update(map(id, step.inputs))
        elif first not in made:
            handed = (of_pixels(step, attribution),)
        elif step.weight.shape[2:].numel() == 1 or id(step.output) in ends_branch:
            handed = (plain(step, attribution),)
        else:
            handed = (guided(step, gradients[id(step.output)], attribution),)
        for maps, share in zip(step.inputs, handed, strict=True):
            attributions[id(maps)] = attributions.get(id(maps), 0) + share
    (of_image,) = attributions.values()
    return of_image


def _handed_back(step: Step, attribution: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """What each input of an operation without weights gets. Raises SrledgerError when there is no rule for it."""
    if step.name in NORMS:
        return (attribution,)
    if step.name == "relu":
        return (torch.where(step.inputs[0].detach() > 0, attribution, 0.0),)
    if step.name in POOLINGS:  # behind a ReLU
        return (shares(step.again, step.inputs[0], attribution),)
    if step.name in ADDITIONS and len(step.inputs) == 2:
        return of_sum(step.inputs, attribution)
    raise SrledgerError(
        "attribution-guided factorisation has no rule for an operation of the encoder", found=step.name,
        expected="convolutions, norms, ReLU, pooling, additions", mend="take the prior resnet_cam",
    )  # fmt: skip


def ratio(values: torch.Tensor, over: torch.Tensor) -> torch.Tensor:
    """``values / over`` for ``over`` >= 0; below LEAST it fades out."""
    return values / over.clamp_min(LEAST)


def shares(
    operation: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, attribution: torch.Tensor
) -> torch.Tensor:
    """What the parts of ``x`` have in ``operation(x)``, which is homogeneous and >= 0: ``x`` times a gradient.

    The sum over an image is that of ``attribution`` where ``operation(x)`` is not zero.
    """
    with torch.enable_grad():
        leaf = x.detach().expand(len(attribution), -1, -1, -1).requires_grad_()
        output = operation(leaf)
        (back,) = torch.autograd.grad(output, leaf, ratio(attribution, output.detach()))
    return x.detach() * back


def of_sum(inputs: tuple[torch.Tensor, ...], attribution: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Both maps of an addition by their magnitudes: by their signed values, two that cancel would blow up."""
    magnitudes = [value.detach().abs() for value in inputs]
    each = ratio(attribution, magnitudes[0] + magnitudes[1])
    return tuple(magnitude * each for magnitude in magnitudes)


def by_weight(step: Step, x: torch.Tensor, weight: torch.Tensor, attribution: torch.Tensor) -> torch.Tensor:
    """``shares`` of a convolution of ``x`` with ``weight``, all of whose products are >= 0."""
    return x * step.back(weight, ratio(attribution, step.again(x, weight)))


def plain(step: Step, attribution: torch.Tensor) -> torch.Tensor:
    """C: a convolution's attribution over its inputs, by |weight| times |input|. Its sum is kept."""
    assert step.weight is not None
    return by_weight(step, step.inputs[0].detach().abs(), step.weight.detach().abs(), attribution)


def guided(step: Step, gradients: torch.Tensor, attribution: torch.Tensor) -> torch.Tensor:
    """C and the residual R = (F_x + M) sigmoid(C) + F_dx + A, less its mean over where C is not zero.

    So the sum of C is kept, and nothing appears where C has nothing. ``gradients`` are those at the output.
    """
    assert step.weight is not None
    x, weight = step.inputs[0].detach(), step.weight.detach()
    found = plain(step, attribution)
    as_if_ones = by_weight(step, torch.ones_like(x), weight.abs(), attribution)  # A
    gradients = step.back(weight, gradients)  # by way of this convolution, and of no branch beside it
    relevance = (x * gradients).mean(dim=1, keepdim=True).clamp_min(0)
    relevance = ratio(relevance, relevance.amax(dim=SPACE, keepdim=True))  # M
    guide = found.mean(dim=1, keepdim=True)
    residual = (factor(x, guide) + relevance) * found.sigmoid() + factor(gradients, guide) + as_if_ones
    support = (found != 0).to(x.dtype)
    residual = residual * support
    mean = ratio(residual.sum(dim=SPACE, keepdim=True), support.sum(dim=SPACE, keepdim=True))
    return found + residual - mean * support


def factor(values: torch.Tensor, guide: torch.Tensor) -> torch.Tensor:
    """F: how much more a place is like those that ``guide`` favours than like those it speaks against, >= 0.

    The places of either sign are represented by their mean vector of sigmoid(10 values / max); each place is written as
    a non-negative mixture of the two (least squares, ridge 1).

    Args:
        values: ``K x C x h x w``, or one for all. guide: ``K x 1 x h x w``, signed.

    Returns:
        ``K x 1 x h x w``.
    """
    scaled = ratio(values, values.abs().amax(dim=SPACE, keepdim=True))
    vectors = torch.sigmoid(SHARPNESS * scaled).flatten(2)
    sides = torch.cat([guide > 0, guide < 0], dim=1).flatten(2).to(values.dtype)
    means = ratio(vectors @ sides.transpose(1, 2), sides.sum(dim=2)[:, None])  # K x C x 2
    gram = means.transpose(1, 2) @ means + torch.eye(2)
    mixture = torch.linalg.solve(gram, means.transpose(1, 2) @ vectors).clamp_min(0)
    return (mixture[:, :1] - mixture[:, 1:]).clamp_min(0).reshape(guide.shape)


def of_pixels(step: Step, attribution: torch.Tensor) -> torch.Tensor:
    """The first convolution's attribution over the pixels, by how far they lie from their channel's extremes (z-B).

    A pixel counts by (x - least) times a positive weight and (x - greatest) times a negative one: both are >= 0, and 0
    for an image that says nothing.
    """
    assert step.weight is not None
    x, weight = step.inputs[0].detach(), step.weight.detach()
    least, greatest = x.amin(dim=(2, 3), keepdim=True), x.amax(dim=(2, 3), keepdim=True)
    weights = torch.cat([weight.clamp_min(0), weight.clamp_max(0)], dim=1)
    sides = torch.cat([x - least, x - greatest], dim=1)
    low, high = by_weight(step, sides, weights, attribution).chunk(2, dim=1)
    return low + high
