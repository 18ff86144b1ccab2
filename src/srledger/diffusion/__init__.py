"""The diffusion core that the methods share: noise levels, prediction targets, samplers, and masks (YODA).

Images ``z`` live in a method's own space (pixels in [-1, 1], a residual, a latent); nothing here knows which. Symbols
are those of docs/diffusion.md.
"""
