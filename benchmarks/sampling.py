"""Sampling speed of SR3, and what the mask costs: medians of repeated runs. `make bench` runs it; it is not a test."""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable

import torch

from srledger.diffusion.images import symmetric, upsample
from srledger.diffusion.level import Denoise, Level
from srledger.diffusion.noise import ImageNoise
from srledger.diffusion.sampler import Sampler
from srledger.diffusion.steps import ancestral_mean, ddim_step, deviation_of
from srledger.diffusion.targets import Amplitudes, image_of, noise_of
from srledger.methods.sr3 import Config, Sr3
from srledger.training.determinism import prepare_torch

STEPS, LR_PX, FACTOR = 10, 16, 4
SIZES = {"width": 32, "multipliers": (1, 2, 4, 8), "blocks": 1, "attention_levels": (), "norm_groups": 8}


def median_s(call: Callable[[], object], repeats: int = 5) -> float:
    """Median seconds of ``call``, after one warm-up."""
    call()
    seconds = []
    for _ in range(repeats):
        started_s = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started_s)
    return statistics.median(seconds)


def dense(sampler: Sampler, denoise: Denoise, shape: torch.Size, seeds: list[int]) -> torch.Tensor:
    """The same chain with no mask and no fill anywhere: what masking is measured against."""
    config, plan = sampler.config, sampler.schedule
    chain = ImageNoise("chain", seeds, 0, torch.device("cpu"))
    z = chain.draw(shape)
    gammas = plan.gammas.tolist()
    for step in range(plan.steps, 0, -1):
        gamma, after = gammas[step], gammas[step - 1]
        at = Amplitudes(math.sqrt(gamma), math.sqrt(1 - gamma))
        level = Level(torch.full((len(z),), plan.times[step]), torch.full((len(z),), at.signal))
        z0 = image_of(config.target, denoise(z, level).float(), z, at).clamp(-1, 1)
        if config.sampler == "ddim":
            z = ddim_step(z0, noise_of(z0, z, at), after)
        else:
            z = ancestral_mean(z0, z, gamma, after)
            if step > 1:
                z = z + deviation_of(gamma, after, config.variance) * chain.draw(z.shape)
    return z


def times_s(method: Sr3, batch: int) -> dict[str, float]:
    """Seconds of restoring ``batch`` images, dense and masked."""
    lr = torch.rand(batch, 3, LR_PX, LR_PX, generator=torch.Generator().manual_seed(0))
    fill, seeds = symmetric(upsample(lr, FACTOR)), list(range(batch))
    denoise, sampler = method.denoise(fill), method.sampler
    ones = torch.ones(batch, 1, *fill.shape[2:])
    drawn = torch.rand(ones.shape, generator=torch.Generator().manual_seed(1))

    def nothing(z: torch.Tensor, level: Level) -> torch.Tensor:
        return z

    return {
        "dense": median_s(lambda: dense(sampler, denoise, fill.shape, seeds)),
        "masked, map of ones": median_s(lambda: sampler.sample(denoise, fill, ones, seeds)),
        "masked, random map": median_s(lambda: sampler.sample(denoise, fill, drawn, seeds)),
        "no network, dense": median_s(lambda: dense(sampler, nothing, fill.shape, seeds)),
        "no network, masked": median_s(lambda: sampler.sample(nothing, fill, drawn, seeds)),
    }


@torch.inference_mode()
def main() -> None:
    """Print one line per figure."""
    prepare_torch(2, "cpu")
    method = Sr3(Config.model_validate({**SIZES, "sampling_steps": STEPS}), FACTOR).eval()
    parameters = sum(value.numel() for value in method.parameters())
    print(f"sr3 of {parameters / 1e6:.1f} M parameters, {LR_PX} to {LR_PX * FACTOR} px, {STEPS} steps")
    print(f"load {os.getloadavg()[0]:.1f}, 2 threads")
    for batch in (1, 16):
        for precision in ("fp32", "bf16"):
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                found = times_s(method, batch)
            for name, seconds in found.items():
                speed = f"{batch / seconds:10.2f} images/s {seconds / STEPS * 1e3:9.2f} ms/step"
                print(f"  {f'{precision}, batch {batch}, {name}':40} {speed} {seconds / found['dense']:8.3f} of dense")


if __name__ == "__main__":
    main()
