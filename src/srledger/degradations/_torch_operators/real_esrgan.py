"""Real-ESRGAN's chain for a batch, from the same records as the plug-in ``real_esrgan``."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from srledger.degradations._torch_operators.canvas import Canvas, add_noise, blur, resize, stack
from srledger.degradations._torch_operators.jpeg import through_jpeg
from srledger.degradations.real_esrgan import Drawn, DrawnRound, sizes_px


@torch.no_grad()
def apply_batch(hr: torch.Tensor, drawn: Sequence[Drawn], scale_factor: int) -> torch.Tensor:
    """The LR images of a batch, each by its own record.

    Args:
        hr: ``B x 3 x H x W`` in [0, 1], on the device that is to work; H and W are multiples of the scale factor.
        drawn: B records of ``srledger.degradations.real_esrgan.draw``.

    Returns:
        float32 ``B x 3 x H/s x W/s`` in [0, 1], multiples of 1/255.
    """
    size = (hr.shape[2], hr.shape[3])
    first_px, second_px, lr_px = zip(*(sizes_px(each, size, scale_factor) for each in drawn), strict=True)
    modes = [each.final.resize_mode for each in drawn]
    sincs = [each.final.sinc for each in drawn]
    qualities = [each.second.jpeg_quality for each in drawn]
    jpeg_first = torch.tensor([each.final.order == "jpeg_then_sinc" for each in drawn], device=hr.device)

    canvas = _distort(stack(hr), [each.first for each in drawn], first_px)
    canvas = through_jpeg(canvas, [each.first.jpeg_quality for each in drawn])
    canvas = _distort(canvas, [each.second for each in drawn], second_px)
    canvas = _where(jpeg_first, through_jpeg(canvas, qualities), canvas)
    canvas = blur(resize(canvas, lr_px, modes), sincs)
    canvas = _where(jpeg_first, canvas, through_jpeg(canvas, qualities))
    return (canvas.planes.clamp(0, 1) * 255).round() / 255


def _distort(canvas: Canvas, drawn: Sequence[DrawnRound], sizes_px: Sequence[tuple[int, int]]) -> Canvas:
    blurred = blur(canvas, [each.kernel for each in drawn])
    resized = resize(blurred, sizes_px, [each.resize.mode for each in drawn])
    return add_noise(resized, [each.noise for each in drawn])


def _where(chosen: torch.Tensor, yes: Canvas, no: Canvas) -> Canvas:
    return no.with_planes(torch.where(chosen[:, None, None, None], yes.planes, no.planes))
