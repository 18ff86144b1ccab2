"""VOSR (Wu et al. 2026): flow matching in a codec's latents, under the LR image and tokens of a vision encoder alone.

The LR image, enlarged, stands beside the noise as latents; the semantic tokens are the row's prior (``uniform``: none).
A second branch sees little of the former and nothing of the latter; guidance goes from it to the full one. A student
crosses the flow in one jump. Sections of docs/methods.md (F) say the rest.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator

from srledger.diffusion.borders import to_multiple
from srledger.diffusion.colour import ColourFix, fix_colours
from srledger.diffusion.dit import SIZES, Dit
from srledger.diffusion.flow import Velocity, draw_conditions, euler, guided, on_line
from srledger.diffusion.images import upsample
from srledger.diffusion.jumps import draw_times, recursive_error, recursive_target, shortcut_target
from srledger.diffusion.noise import ImageNoise
from srledger.diffusion.sampler import Trace
from srledger.diffusion.tiles import Window, blended, windows_over
from srledger.errors import SrledgerError
from srledger.methods import Batch, Method
from srledger.plugins import PluginConfig

if TYPE_CHECKING:
    from srledger.encoders import Encoder


STUDENT_SAMPLES = {"guidance": "target_guidance", "guidance_alpha": "target_alpha"}


def _as_taught(name: str, otherwise: float) -> Callable[[dict[str, Any]], float]:
    """The default of a setting of sampling: of a student, setting ``name`` of its target."""
    return lambda found: found.get(name, otherwise) if found.get("one_step") else otherwise


class Config(PluginConfig):
    """Size, the two branches, how it samples, and how a one-step student is taught; the defaults are the paper's.

    What samples is what stands here, and so in the ledger: nothing is taken over from a training's range of alpha. A
    student's guidance is that of its target, of which it takes one step.

    Class attributes:
        sampling_settings: settings that no loss reads, so that one network can be sampled with several values of each.
    """

    sampling_settings: ClassVar[frozenset[str]] = frozenset(
        {"sampling_steps", "guidance", "guidance_alpha", "colour_fix", "tile_px", "tile_overlap"}
    )

    size: Literal["tiny", "small", "medium", "large", "0.5B", "1.4B"] = "tiny"
    patch: int = Field(default=2, ge=1, description="latents a token is wide")
    token_channels: int = Field(default=192, ge=2, description="of the prior's tokens; as many with the prior uniform")
    partial_share: float = Field(default=0.1, ge=0, lt=1, description="of the images; 0: there is no partial branch")
    partial_alpha: tuple[float, float] = Field(
        default=(0.05, 0.25), description="bounds of alpha in training; (0, 0): the classifier-free guidance of others"
    )
    noise_logit: tuple[float, float] = Field(
        default=(5.0, 1.0),
        description="mean and std of logit a: the full branch sees a c + sqrt(1 - a^2) n in training",
    )
    one_step: bool = Field(default=False, description="a student, which is told where a jump ends")
    distillation: Literal["rcgm", "shortcut"] = Field(default="rcgm", description="what a student's jumps agree with")
    target_guidance: float = Field(default=0.5, description="w of the teacher's velocity that a student learns")
    target_alpha: float = Field(default=0.1, ge=0, le=1, description="alpha of its partial branch, and the student's")
    rollout_steps: int = Field(default=2, ge=1, description="rcgm: jumps over what the teacher's step leaves")
    teacher_step: float = Field(default=0.01, gt=0, lt=1, description="rcgm: Delta, of the teacher's step")
    error_clip: float = Field(default=1.0, gt=0, description="rcgm: most that a value of a jump is told to change")
    consistency_weight: float = Field(default=1.0, ge=0)
    sampling_steps: int = Field(default_factory=lambda found: 1 if found.get("one_step") else 25, ge=1)
    guidance: float = Field(
        default_factory=_as_taught("target_guidance", 0.5),
        description="w: 1 is the full branch alone, below it is more generative",
    )
    guidance_alpha: float = Field(
        default_factory=_as_taught("target_alpha", 0.1),
        ge=0,
        le=1,
        description="alpha of the partial branch when it samples",
    )
    colour_fix: ColourFix = Field(default="adain_rgb", description="what it takes over from the enlarged LR image")
    tile_px: int | None = Field(default=None, ge=1, description="larger images are sampled in tiles; null: none are")
    tile_overlap: float = Field(default=0.125, ge=0.125, le=0.75, description="least share of a tile")

    @model_validator(mode="after")
    def _check(self) -> Self:
        least, most = self.partial_alpha
        if not 0 <= least <= most <= 1:
            raise ValueError(f"partial_alpha must rise within [0, 1], found {list(self.partial_alpha)}")
        if self.noise_logit[1] < 0:
            raise ValueError(f"the second of noise_logit is a standard deviation, found {self.noise_logit[1]}")
        if self.partial_share == 0 and not self.one_step and self.guidance != 1:
            raise ValueError(f"without a partial branch (partial_share 0) guidance must be 1, found {self.guidance}")
        if self.one_step:
            expected = {"sampling_steps": 1} | {ours: getattr(self, of) for ours, of in STUDENT_SAMPLES.items()}
            found = {name: getattr(self, name) for name in expected}
            if found != expected:
                raise ValueError(f"a student takes one step, guided as its target: expected {expected}, found {found}")
        return self


class Vosr(Method):
    """The network and the frozen codec.

    Class attributes:
        reads_tokens: its prior is tokens, or ``uniform``.

    Buffers:
        trained_scale_factor: of the images that the weights come from.
    """

    builds_on = ("codes",)
    reads_tokens = True
    any_scale_factor = True
    config: Config
    trained_scale_factor: torch.Tensor

    def __init__(self, config: Config, scale_factor: int, encoder: Encoder) -> None:
        super().__init__(config, scale_factor)
        self.encoder = encoder.eval().requires_grad_(False)
        self.cell_px = config.patch * encoder.factor
        if config.tile_px is not None and config.tile_px % self.cell_px:
            raise ValueError(
                f"tile_px must be a multiple of patch x codec factor, {self.cell_px}; got {config.tile_px}"
            )
        self.network = Dit(
            SIZES[config.size], encoder.latent_channels, config.patch, config.token_channels, jumps=config.one_step
        )
        self.register_buffer("trained_scale_factor", torch.tensor(scale_factor))

    @classmethod
    def check_tokens(cls, config: PluginConfig, width: int) -> None:
        """Raise ValueError where a row's settings are for tokens of another ``width``."""
        assert isinstance(config, Config)
        if config.token_channels != width:
            raise ValueError(f"token_channels is {config.token_channels}, its prior's tokens have {width} channels")

    @classmethod
    def network_evaluations(cls, config: PluginConfig) -> int:
        """One a step; guidance evaluates both branches. A student takes one step on one branch."""
        assert isinstance(config, Config)
        branches = 1 if config.one_step or config.guidance == 1 else 2
        return branches * config.sampling_steps

    def train(self, mode: bool = True) -> Self:
        """Set the network's mode; the codec's is fixed."""
        super().train(mode)
        self.encoder.eval()
        return self

    def start_from(self, teacher: Self) -> None:
        """Take the teacher's weights; what tells of a jump's end is new, and says nothing where a jump has no length.

        Raises SrledgerError where they differ in size, or the settings do not say that it is a student.
        """
        self._check_roles(teacher)
        names = ("size", "patch", "token_channels")
        ours, theirs = ({name: getattr(one.config, name) for name in names} for one in (self, teacher))
        if ours != theirs:
            raise SrledgerError(
                "a one-step student starts from its teacher's weights, and is of its size", where="method vosr",
                found=ours, expected=theirs, mend="give both rows the same size, patch and token_channels",
            )  # fmt: skip
        self.network.load_state_dict({**self.network.state_dict(), **teacher.network.state_dict()})

    def encoded(self, images: torch.Tensor) -> torch.Tensor:
        """Latents of images in [0, 1], continued by reflection to whole cells of patch x codec factor; no gradient."""
        with torch.no_grad():
            return self.encoder.encode(to_multiple(images, self.cell_px)).float()

    def token_grid(self, prior: torch.Tensor) -> torch.Tensor:
        """The prior as tokens ``B x h x w x token_channels``; a constant map is one token of zeros: no semantics.

        Raises SrledgerError for tokens of another width, and for maps that say something.
        """
        if prior.shape[1] == 1:
            if not torch.equal(prior.amax(dim=(1, 2, 3)), prior.amin(dim=(1, 2, 3))):
                raise SrledgerError(
                    "an attention map is no semantic tokens", where="method vosr", found="a prior that makes maps",
                    expected="a prior that makes tokens, or uniform", mend="give the row another prior",
                )  # fmt: skip
            return prior.new_zeros(len(prior), 1, 1, self.config.token_channels)
        if prior.shape[1] != self.config.token_channels:
            raise SrledgerError(
                "the prior's tokens are of another width", where="method vosr", found=f"{prior.shape[1]} channels",
                expected=f"token_channels {self.config.token_channels}",
                mend=f"set the row's config.token_channels to {prior.shape[1]}",
            )  # fmt: skip
        return prior.permute(0, 2, 3, 1)

    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Mean squared error of the velocity, at a time of its own for every image."""
        if self.config.one_step:
            raise SrledgerError(
                "a one-step network is taught by a teacher", where="method vosr", found="one_step: true in a variant",
                mend="make it a row of students, or leave one_step out",
            )  # fmt: skip
        config, generator = self.config, batch.generator
        degraded, z0 = self._latents(batch)
        seen = draw_conditions(degraded, config.partial_share, config.partial_alpha, config.noise_logit, generator)
        time = torch.rand(len(z0), generator=generator, device=z0.device)
        eps = torch.randn(z0.shape, generator=generator, device=z0.device)
        tokens = self._embedded(batch.prior, seen.partial)
        found = self.network(on_line(z0, eps, time), seen.mixed, time, tokens)
        return {"total": F.mse_loss(found, eps - z0)}

    def distill_loss(self, batch: Batch, teacher: Self) -> dict[str, torch.Tensor]:
        """A student's velocity against its guided teacher's, and its jumps against its own shorter ones.

        ``velocity`` and ``consistency`` are the two terms by themselves.
        """
        self._check_roles(teacher)
        config, generator = self.config, batch.generator
        degraded, z0 = self._latents(batch)
        alpha = (config.target_alpha, config.target_alpha)
        seen = draw_conditions(degraded, config.partial_share, alpha, config.noise_logit, generator)
        t, r = draw_times(len(z0), generator)
        z = on_line(z0, torch.randn(z0.shape, generator=generator, device=z0.device), t)
        with torch.no_grad():
            partial = config.target_alpha * degraded
            grid = teacher.network.embed(teacher.token_grid(batch.prior)).flatten(1, 2)
            taught = teacher.both_branches(z, t, seen.full, partial, grid, config.target_guidance)
        tokens = self._embedded(batch.prior, seen.partial)

        def jump(z: torch.Tensor, t: torch.Tensor, r: torch.Tensor) -> torch.Tensor:
            return self.network(z, seen.mixed, t, tokens, r)

        found = jump(z, t, r)
        if config.distillation == "rcgm":
            error = recursive_error(jump, found.detach(), taught, z, t, r, config.teacher_step, config.rollout_steps)
            target = recursive_target(found, error, config.error_clip)
        else:
            target = shortcut_target(jump, z, t, r)
        velocity, consistency = F.mse_loss(jump(z, t, t), taught), F.mse_loss(found, target)
        total = velocity + config.consistency_weight * consistency
        return {"velocity": velocity, "consistency": consistency, "total": total}

    def both_branches(
        self,
        z: torch.Tensor,
        time: torch.Tensor,
        full: torch.Tensor,
        partial: torch.Tensor,
        tokens: torch.Tensor,
        weight: float,
    ) -> torch.Tensor:
        """The guided velocity at ``z``: both branches in one batch; at weight 1 the full one alone.

        Args:
            z, full, partial: ``B x C x h x w``: where, and what either branch sees of the degraded images.
            time: ``B``.
            tokens: of the full branch, ``B x N x width``; the partial one has none.
            weight: w.
        """
        if weight == 1:
            return self.network(z, full, time, tokens)
        nothing = self.network.embed(z.new_zeros(1, 1, self.config.token_channels)).expand_as(tokens)
        found = self.network(
            torch.cat([z, z]), torch.cat([full, partial]), torch.cat([time, time]), torch.cat([tokens, nothing])
        )
        of_full, of_partial = found.chunk(2)
        return guided(of_full, of_partial, weight)

    def restore(
        self, lr: torch.Tensor, prior: torch.Tensor, seeds: Sequence[int], trace: Trace | None = None
    ) -> torch.Tensor:
        """Sampled images, a student's in one step; ``trace`` sees every step, of the latents."""
        self._say_other_factor()
        enlarged = upsample(lr, self.scale_factor)
        height, width = enlarged.shape[-2:]
        degraded = self.encoded(enlarged)
        z = self.sample(degraded, prior, seeds, height, width, trace)
        sampled = self.encoder.decode(z)[..., :height, :width].float().clamp(0, 1)
        return fix_colours(sampled, enlarged, self.config.colour_fix)

    def sample(
        self,
        degraded: torch.Tensor,
        prior: torch.Tensor,
        seeds: Sequence[int],
        height: int,
        width: int,
        trace: Trace | None = None,
    ) -> torch.Tensor:
        """Latents of restored images ``height x width`` px, of the shape of those of the degraded ones."""
        noise = ImageNoise("flow", seeds, 0, degraded.device).draw(degraded.shape)
        return euler(self._velocity(degraded, prior, height, width), noise, self.config.sampling_steps, trace)

    def _velocity(self, degraded: torch.Tensor, prior: torch.Tensor, height: int, width: int) -> Velocity:
        """The velocity of latents of images ``height x width`` px, in tiles where they are larger than one."""
        config, factor = self.config, self.encoder.factor
        grid = self.network.embed(self.token_grid(prior))
        rows, columns = grid.shape[1:3]

        def of_window(z: torch.Tensor, time: torch.Tensor, window: Window) -> torch.Tensor:
            top, bottom = cells_of(window.top * factor, window.bottom * factor, height, rows)
            left, right = cells_of(window.left * factor, window.right * factor, width, columns)
            tokens = grid[:, top:bottom, left:right].flatten(1, 2)
            seen = window.of(degraded)
            if config.one_step:
                return self.network(z, seen, time, tokens, torch.zeros_like(time))
            return self.both_branches(z, time, seen, config.guidance_alpha * seen, tokens, config.guidance)

        side = None if config.tile_px is None else config.tile_px // factor
        windows = windows_over(degraded.shape[-2], degraded.shape[-1], side, config.tile_overlap, config.patch)
        return blended(of_window, windows, degraded.shape[-2], degraded.shape[-1])

    def _latents(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents of the degraded images, enlarged, and of the HR images."""
        return self.encoded(upsample(batch.lr, self.scale_factor)), self.encoded(batch.hr)

    def _embedded(self, prior: torch.Tensor, dropped: torch.Tensor) -> torch.Tensor:
        """Tokens of a batch as the network sees them, ``B x N x width``; zeros first where they are ``dropped``."""
        grid = self.token_grid(prior)
        return self.network.embed(torch.where(dropped.view(-1, 1, 1, 1), 0.0, grid)).flatten(1, 2)

    def _check_roles(self, teacher: Self) -> None:
        if not self.config.one_step or teacher.config.one_step:
            raise SrledgerError(
                "a student of vosr is a one-step network, its teacher is none", where="method vosr",
                found=f"one_step: {self.config.one_step} (student), {teacher.config.one_step} (teacher)",
                mend="set config.one_step: true in the row of students alone",
            )  # fmt: skip
        if teacher.config.partial_share == 0 and self.config.target_guidance != 1:
            raise SrledgerError(
                "a teacher without a partial branch can't guide", where="method vosr",
                found=f"partial_share 0 (teacher), target_guidance {self.config.target_guidance} (student)",
                mend="set the student's config.target_guidance: 1.0, or teach it by a row with a partial branch",
            )  # fmt: skip

    def _say_other_factor(self) -> None:
        trained = int(self.trained_scale_factor)
        if trained != self.scale_factor:
            warnings.warn(
                f"vosr restores at scale factor {self.scale_factor}, its weights have learnt {trained}", stacklevel=3
            )


def cells_of(start_px: int, end_px: int, length_px: int, cells: int) -> tuple[int, int]:
    """First and last (excluded) of ``cells`` over ``length_px`` that pixels from start to end touch."""
    return start_px * cells // length_px, min(-(-end_px * cells // length_px), cells)
