"""The training loop: any learner, one seed at a time, the same bits whether or not it was ever stopped."""

from __future__ import annotations

import dataclasses
import math
import signal
import types
from pathlib import Path

import numpy as np
import torch

from srledger.errors import SrledgerError
from srledger.io import read_json, sha256_file, write_json
from srledger.methods import Batch, Learner, Method
from srledger.progress import Progress
from srledger.seeds import seed_for, torch_generator
from srledger.training.batches import Examples, draw_batch, to_tensor
from srledger.training.checkpoint import CheckpointStore, save_tensors
from srledger.training.config import TrainingConfig
from srledger.training.ema import Ema

Curve = tuple[int, str, float]  # (step, name, value)


@dataclasses.dataclass(frozen=True)
class Job:
    """One network to train.

    Attributes:
        row: the variant's, student's or encoder's name; with the seed it names every random draw.
        method: untrained: a method, or an encoder that learns.
        teacher: the finished teacher of a student, else None.
        config: how to train.
        train, val: what it learns from, and what its curve of psnr_rgb_val is measured on (None: an encoder restores
            nothing and has no such curve).
    """

    row: str
    method: Learner
    teacher: Method | None
    config: TrainingConfig
    train: Examples
    val: Examples | None


@dataclasses.dataclass(frozen=True)
class Trained:
    """A finished seed: where its weights lie, their hash, and its curves."""

    weights: Path
    weights_sha256: str
    curves: list[Curve]


def learning_rate_at(config: TrainingConfig, step: int) -> float:
    """Learning rate of step ``step`` (from 0): linear warm-up, then constant or half a cosine down to zero."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    if config.learning_rate_schedule == "constant":
        return config.learning_rate
    progress = (step - config.warmup_steps) / (config.steps - config.warmup_steps)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def autocast(config: TrainingConfig) -> torch.autocast:
    """bf16 where the params ask for it."""
    return torch.autocast(config.device, dtype=torch.bfloat16, enabled=config.precision == "bf16")


def train_seed(job: Job, seed: int, folder: Path) -> Trained:
    """Train one seed in ``folder`` (its fingerprint's place in scratch), from wherever it was stopped.

    A finished seed is taken as it is. Ctrl-C and SIGTERM save a checkpoint and raise KeyboardInterrupt.

    Raises:
        SrledgerError: the loss is no longer a number; the last good checkpoint stays.
    """
    finished = folder / "finished.json"
    weights = folder / "weights.safetensors"
    if finished.exists() and weights.exists():
        record = read_json(finished)
        if sha256_file(weights) == record["weights_sha256"]:
            return Trained(weights, record["weights_sha256"], [tuple(curve) for curve in record["curves"]])
    run = _Run(job, seed, CheckpointStore(folder))
    run.resume()
    run.train()
    sha256 = save_tensors(weights, run.ema.tensors)
    write_json(finished, {"weights_sha256": sha256, "curves": run.curves})
    run.store.clear()
    return Trained(weights, sha256, run.curves)


class _Run:
    """The state of one training; ``resume`` and ``train`` are its two verbs."""

    def __init__(self, job: Job, seed: int, store: CheckpointStore) -> None:
        config = job.config
        self.job, self.seed, self.store = job, seed, store
        self.device = torch.device(config.device)
        self.memory_format = torch.channels_last if config.channels_last else torch.contiguous_format
        self.method = job.method.to(self.device).to(memory_format=self.memory_format)
        self.teacher = None
        if job.teacher is not None:
            teacher = job.teacher.to(self.device).to(memory_format=self.memory_format)
            self.teacher = teacher.eval().requires_grad_(False)
        self.parameters = [value for value in self.method.parameters() if value.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=config.learning_rate, betas=config.betas, weight_decay=config.weight_decay
        )
        self.ema = Ema(self.method, config.ema_decay)
        self.step = 0
        self.curves: list[Curve] = []
        self.sums: dict[str, float] = {}
        self.stop_asked = False

    @torch.no_grad()
    def resume(self) -> None:
        """Go back to the newest whole checkpoint, if there is one."""
        found = self.store.newest_valid()
        if found is None:
            return
        tensors, state, notes = found
        for note in notes:
            print(f"{self.job.row} seed {self.seed}: passed over a torn checkpoint, {note}")
        by_part: dict[str, dict[str, torch.Tensor]] = {"method": {}, "ema": {}, "optimizer": {}}
        for name, tensor in tensors.items():
            part, _, rest = name.partition("/")
            by_part[part][rest] = tensor.to(self.device)
        self.method.load_state_dict(by_part["method"])
        for name, value in self.ema.tensors.items():
            value.copy_(by_part["ema"][name])
        for k, parameter in enumerate(self.parameters):
            # Copies keep the parameter's memory format: with another one the same sums round differently.
            if f"{k}/step" not in by_part["optimizer"]:
                continue  # no gradient has reached it yet: its turn comes later in the training
            moments = {
                key: torch.empty_like(parameter).copy_(by_part["optimizer"][f"{k}/{key}"])
                for key in ("exp_avg", "exp_avg_sq")
            }
            step = by_part["optimizer"][f"{k}/step"].cpu()  # AdamW counts on the CPU
            self.optimizer.state[parameter] = {"step": step, **moments}
        self.step, self.sums = state["step"], state["sums"]
        self.curves = [tuple(curve) for curve in state["curves"]]
        print(f"{self.job.row} seed {self.seed}: resumed at step {self.step} of {self.job.config.steps}")

    def train(self) -> None:
        """Run to the last step."""
        config = self.job.config
        title = f"{'distill' if self.teacher else 'train'} {self.job.row} seed {self.seed}"
        handlers = [(number, signal.signal(number, self._ask_stop)) for number in (signal.SIGINT, signal.SIGTERM)]
        try:
            with Progress(title, config.steps, self.step) as progress:
                while self.step < config.steps:
                    self._one_step()
                    self.step += 1
                    if self.step % config.log_every_steps == 0 or self.step == config.steps:
                        self._log()
                    every = config.validate_every_steps or config.steps
                    if self.step % every == 0 or self.step == config.steps:
                        self._validate()
                    if self.stop_asked or (self.step % config.checkpoint_every_steps == 0 and self.step < config.steps):
                        self._save()
                    if self.stop_asked:
                        raise KeyboardInterrupt(
                            f"{title}: stopped at step {self.step}; the same command goes on from here"
                        )
                    progress.advance(self.step, f"loss {self.last_total:.4f}")
        finally:
            for number, handler in handlers:
                signal.signal(number, handler)

    def _one_step(self) -> None:
        job, config, step = self.job, self.job.config, self.step
        torch.manual_seed(seed_for("step", job.row, self.seed, step))  # dropout and the like
        lr, hr, prior = (
            tensor.to(self.device, memory_format=self.memory_format)
            for tensor in draw_batch(job.train, config, self.method.scale_factor, job.row, self.seed, step)
        )
        generator = torch_generator("loss", job.row, self.seed, step, device=self.device)
        batch = Batch(lr, hr, prior, step / config.steps, generator)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate_at(config, step)
        self.method.train()
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(config):
            if isinstance(self.method, Method) and self.teacher is not None:
                terms = self.method.distill_loss(batch, self.teacher)
            else:
                terms = self.method.loss(batch)
        values = {name: float(value.detach()) for name, value in terms.items()}
        self.last_total = values["total"]
        if not math.isfinite(self.last_total):
            raise SrledgerError(
                "the training loss is no longer a number", where=f"{job.row}, seed {self.seed}, step {step}",
                found=self.last_total, expected="a finite loss",
                mend="lower training.learning_rate, or set training.precision: fp32; the last checkpoint is kept",
            )  # fmt: skip
        terms["total"].backward()
        if config.gradient_clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters, config.gradient_clip_norm)
        self.optimizer.step()
        self.ema.update(self.method, step + 1)
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.sums["#"] = self.sums.get("#", 0.0) + 1

    def _log(self) -> None:
        count = self.sums.pop("#", 0.0)
        if count:
            self.curves += [(self.step, f"loss_{name}", total / count) for name, total in sorted(self.sums.items())]
            self.curves.append((self.step, "learning_rate", learning_rate_at(self.job.config, self.step - 1)))
        self.sums = {}

    def _validate(self) -> None:
        if self.job.val is None or not isinstance(self.method, Method):
            return
        if self.curves and self.curves[-1][:2] == (self.step, "psnr_rgb_val"):
            return
        current = {name: value.clone() for name, value in self.method.state_dict().items()}
        self.method.load_state_dict(self.ema.tensors)
        self.curves.append((self.step, "psnr_rgb_val", validate(self.method, self.job.val, self.job.config)))
        self.method.load_state_dict(current)

    def _save(self) -> None:
        tensors = {f"method/{name}": value for name, value in self.method.state_dict().items()}
        tensors |= {f"ema/{name}": value for name, value in self.ema.tensors.items()}
        for k, parameter in enumerate(self.parameters):
            for key, value in self.optimizer.state[parameter].items():
                tensors[f"optimizer/{k}/{key}"] = value
        self.store.save(self.step, tensors, {"step": self.step, "sums": self.sums, "curves": self.curves})

    def _ask_stop(self, number: int, frame: types.FrameType | None) -> None:
        self.stop_asked = True


@torch.inference_mode()
def validate(method: Method, examples: Examples, config: TrainingConfig) -> float:
    """Mean psnr_rgb of 8-bit outputs on the first images of the validation split (a curve, not a result)."""
    method.eval()
    values = []
    for k in range(min(len(examples), config.validation_images)):
        hr, lr, prior = examples[k]
        seeds = [seed_for("validation", examples.ids[k])]
        with autocast(config):
            sr = method.restore(to_tensor([lr]).to(config.device), to_tensor([prior]).to(config.device), seeds)
        restored = sr[0].float().clamp(0, 1).mul(255).round().permute(1, 2, 0).cpu().numpy()
        mse = float(np.mean((restored.astype(np.float64) - hr) ** 2))
        values.append(10 * math.log10(255**2 / max(mse, 1e-6)))
    method.train()
    return sum(values) / len(values)
