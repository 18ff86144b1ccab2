"""The operators of ``_operators`` for a batch in torch, on any device: for degradations drawn while training.

They take the same records, one a sample, and follow the same definitions. Two things differ: noise is another field of
the same law (it comes from the device's generator, seeded by the record), and JPEG is libjpeg's but for the last bits
of its cosine transform, so that a coefficient may be rounded the other way: nine values in ten are equal, the others
are off by a few grey levels. Up to rounding, a sample does not depend on the others of its batch.
"""
