"""Exploration of a trained run: `python -m gan_jax.explore RUN`, and the functions behind it.

A new picture is a function in `views` and its name in `__main__`; its computation goes into a file like `directions`
(latent directions), `inversion` (latents of given images) or `filters` (contributions of channels to an image), its
layout into `sheets`, `filter_sheets` and `tables`. See README.md in this folder.
"""
