"""What the degradations are made of: one operator a file, each as a record of what was drawn and a function of it.

Images are float64 planes ``3 x H x W`` in [0, 1], RGB. Every function is deterministic: where an operator is random,
its record holds the seed, so that an image is a function of its HR image and of what stands in ``images.json``.
"""
