"""Layers: convolutions, normalisation, noise, and layers that see the whole batch.

A new layer is a module here. Convolutions go through `conv`; a new normalisation is one case in `norm`. A layer that
sees the batch must use the global batch (`devices.parallel`), as in `batch`. Noise must be drawn with one key per
example, as in `noise`.
"""
