"""Layers: convolutions, normalisation, noise, and layers that see the whole batch.

A new block of layers is a module here. Convolutions go through `conv`; a new normalisation is one case in `norm`. A
layer that sees the batch must use the global batch (`devices.parallel`), as those in `batch` do, and noise must be
drawn by one key an example, as in `noise`.
"""
