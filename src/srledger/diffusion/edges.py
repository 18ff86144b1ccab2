"""Edge-aware DISTS (OSDFace): the structure and texture of feature maps compared, of images and of their edges.

DISTS: Ding et al., "Image quality assessment: unifying structure and texture similarity", 2020. It rests on VGG16 and
on weights that were learnt with it; here the networks are others and every channel weighs the same, so it goes by
another name: enc_ea_dists.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F

STABLE = 1e-6  # C1 and C2 of DISTS
SMALLEST = 1e-6  # under the root of an edge's strength: its gradient stays finite where the image is flat
SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))


def sobel(images: torch.Tensor) -> torch.Tensor:
    """Strength of the edges of ``images`` (``B x C x H x W``, nominally in [0, 1]): ``B x 1 x H x W``.

    Of the mean over the channels, with zeros beyond the border, as the authors' demonstration has it: the border of a
    bright image is an edge.
    """
    grey = images.mean(dim=1, keepdim=True)
    across = torch.tensor(SOBEL, dtype=images.dtype, device=images.device)
    slopes = F.conv2d(grey, torch.stack([across, across.T])[:, None], padding=1)
    return (slopes.square().sum(dim=1, keepdim=True) + SMALLEST).sqrt()


def dists(first: Sequence[torch.Tensor], second: Sequence[torch.Tensor]) -> torch.Tensor:
    """DISTS of each image, ``B``, in [0, 2]: 0 where all feature maps are the same.

    ``1 - mean over all channels of (l + s) / 2``, where l compares the means of a channel over the map, and s its
    deviations by their covariance.

    Args:
        first, second: maps ``B x C x h x w`` of the two images, the images themselves among them.
    """
    alike = [_alike(a.flatten(2), b.flatten(2)) for a, b in zip(first, second, strict=True)]
    return 1 - torch.cat(alike, dim=1).mean(dim=1)


def ea_dists(
    sr: torch.Tensor, hr: torch.Tensor, features: Callable[[torch.Tensor], Sequence[torch.Tensor]]
) -> torch.Tensor:
    """``DISTS(sr, hr) + DISTS(sobel(sr), sobel(hr))``, averaged over the batch.

    Args:
        sr, hr: ``B x 3 x H x W``, nominally in [0, 1].
        features: the maps of such images by a network, shallow to deep; edges are shown to it as grey images.
    """
    images = _distance(sr, hr, features)
    edges = _distance(sobel(sr).expand_as(sr), sobel(hr).expand_as(hr), features)
    return images + edges


def _distance(
    sr: torch.Tensor, hr: torch.Tensor, features: Callable[[torch.Tensor], Sequence[torch.Tensor]]
) -> torch.Tensor:
    return dists([sr, *features(sr)], [hr, *features(hr)]).mean()


def _alike(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """(l + s) / 2 of channels ``B x C x places``."""
    means = first.mean(dim=2), second.mean(dim=2)
    apart = first - means[0][..., None], second - means[1][..., None]
    covariance = (apart[0] * apart[1]).mean(dim=2)
    variances = apart[0].square().mean(dim=2) + apart[1].square().mean(dim=2)
    luminance = (2 * means[0] * means[1] + STABLE) / (means[0].square() + means[1].square() + STABLE)
    structure = (2 * covariance + STABLE) / (variances + STABLE)
    return (luminance + structure) / 2
