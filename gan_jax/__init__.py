"""Generative adversarial networks as pure functions, in JAX and Flax."""
