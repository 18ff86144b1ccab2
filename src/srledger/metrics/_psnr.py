"""PSNR of one pair, and the cap that keeps equal images finite."""

from __future__ import annotations

import torch

CAP_DB = 100.0


def psnr_db(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    """10 log10(255^2 / MSE) in dB over all values of one pair in [0, 255], at most CAP_DB; a float64 scalar."""
    mse = (sr.to(torch.float64) - hr.to(torch.float64)).square().mean()
    return torch.clamp(10.0 * torch.log10(255.0**2 / mse), max=CAP_DB)  # MSE 0 gives +inf, and so the cap
