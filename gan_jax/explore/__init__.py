"""Looking into a run: `python -m gan_jax.explore RUN`, and the functions behind it.

`views` has one for each thing that there is to see. They are made of `directions` of the latent that change an image
most, `inversion` of images into latents, `filters` that built an image, and the `sheets` and `filter_sheets` that show
them, laid out by `tables`.
"""
