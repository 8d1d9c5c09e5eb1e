"""Layers: convolutions, normalisation, noise, and layers that look at the whole batch."""
