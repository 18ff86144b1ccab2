"""VOSR's teacher in 25 steps against its one-step student, side by side. `make bench` runs it; it is not a test.

Both are measured in turns, so that what else the machine does falls on both alike; medians of the turns.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping

import torch

from srledger.diffusion.images import upsample
from srledger.encoders.latent_diffusion import Config as CodecConfig
from srledger.encoders.latent_diffusion import LatentDiffusionEncoder
from srledger.methods.vosr import Config, Vosr
from srledger.training.determinism import prepare_torch

LR_PX, FACTOR, TURNS, THREADS = 16, 4, 3, 1
TOKENS, TOKENS_A_SIDE = 192, 8
Calls = Mapping[str, Callable[[], object]]


def medians_s(calls: Calls) -> dict[str, float]:
    """Median seconds of each call, after one warm-up; the calls take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(TURNS + 1):
        for name, call in calls.items():
            started_s = time.perf_counter()
            call()
            if turn:
                seconds[name].append(time.perf_counter() - started_s)
    return {name: statistics.median(found) for name, found in seconds.items()}


def pair(size: str) -> tuple[Vosr, Vosr]:
    """A teacher and its student on one untrained codec; how fast they are does not depend on what they have learnt."""
    codec = LatentDiffusionEncoder(CodecConfig(), {})
    settings = {"size": size, "token_channels": TOKENS}
    teacher = Vosr(Config.model_validate(settings), FACTOR, codec)
    student = Vosr(Config.model_validate({**settings, "one_step": True}), FACTOR, codec)
    student.start_from(teacher)
    return teacher.eval(), student.eval()


def calls_of(method: Vosr, batch: int) -> Calls:
    """The sampler alone, from latents to latents, and all of it, from LR to SR."""
    generator = torch.Generator().manual_seed(0)
    lr = torch.rand(batch, 3, LR_PX, LR_PX, generator=generator)
    tokens = torch.randn(batch, TOKENS, TOKENS_A_SIDE, TOKENS_A_SIDE, generator=generator)
    enlarged, seeds = upsample(lr, FACTOR), list(range(batch))
    degraded = method.encoded(enlarged)
    height, width = enlarged.shape[-2:]
    return {
        "sampler alone": lambda: method.sample(degraded, tokens, seeds, height, width),
        "end to end": lambda: method.restore(lr, tokens, seeds),
    }


@torch.inference_mode()
def main() -> None:
    """Print one line per figure."""
    prepare_torch(THREADS, "cpu")
    print(f"vosr, {LR_PX} to {LR_PX * FACTOR} px; load {os.getloadavg()[0]:.1f}, {THREADS} thread")
    for size, batch in (("tiny", 1), ("tiny", 4), ("small", 1)):
        teacher, student = pair(size)
        of_teacher, of_student = (calls_of(method, batch) for method in (teacher, student))
        parameters = sum(value.numel() for value in teacher.network.parameters())
        steps = teacher.config.sampling_steps
        print(f"{size}, {parameters / 1e6:.1f} M parameters, batch {batch}; {steps} steps of two branches, one of one")
        for what in of_teacher:
            found = medians_s({"teacher": of_teacher[what], "student": of_student[what]})
            for role, seconds in found.items():
                speed = f"{batch / seconds:10.2f} images/s {seconds / batch * 1e3:9.2f} ms/image"
                print(f"  {f'{what}, {role}':28} {speed} {found['teacher'] / seconds:8.2f} of the teacher's speed")


if __name__ == "__main__":
    main()
