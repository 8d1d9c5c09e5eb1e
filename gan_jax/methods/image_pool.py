"""Image pool: a history of fake images for the discriminator (Shrivastava et al. 2017, arXiv:1612.07828).

It works as in CycleGAN (Zhu et al. 2017, arXiv:1703.10593). It is a slot of `TrainState.extra`, the same on every
device.
"""

import jax
import jax.numpy as jnp
from jax import lax

from gan_jax import rng
from gan_jax.devices import parallel
from gan_jax.errors import UserError
from gan_jax.types import Array

Pool = dict[str, Array]


def empty(size: int, shape: tuple[int, ...]) -> Pool:
    """Returns an empty pool.

    Args:
        size: Number of images when full: 50 in CycleGAN; with 0 `swap` returns all images as they are.
        shape: Shape of an image.

    Returns:
        "images" `[size, *shape]`, of which the first "filled", i32[], are valid.

    Raises:
        UserError: If the size is negative.
    """
    if size < 0:
        raise UserError(f"size={size}: a pool cannot hold fewer than 0 images; give 0 for none, or 50 as in CycleGAN")
    return {"images": jnp.zeros((size, *shape)), "filled": jnp.zeros((), jnp.int32)}


def swap(pool: Pool, images: Array, key: Array) -> tuple[Array, Pool]:
    """Passes new images through the pool, one by one, and returns images for the discriminator.

    Until the pool is full, it stores each image and returns it. Then, with probability 1/2, it stores the image in a
    random place and returns the image that was there; otherwise it returns the new image. No gradient passes.

    Images are processed in the order of the global batch, so the result does not depend on the number of devices.

    Args:
        pool: A pool, see `empty`; the same on every device.
        images: This device's images, `[b, *shape]`.
        key: A key, the same on every device.

    Returns:
        Images for the discriminator, `[b, *shape]`, and the new pool.

    Raises:
        UserError: If the shape of the images is not the pool's.
    """
    size, *shape = pool["images"].shape
    if images.shape[1:] != tuple(shape):
        raise UserError(f"images have shape {images.shape[1:]}, but the pool was built for shape={tuple(shape)}")
    images = lax.stop_gradient(images)
    if size == 0:
        return images, pool
    images = parallel.gather(images)
    swapped = jax.random.bernoulli(rng.named(key, "swap"), shape=(len(images),))
    places = jax.random.randint(rng.named(key, "place"), (len(images),), 0, size)

    def visit(carry: tuple[Array, Array], new: tuple[Array, Array, Array]) -> tuple[tuple[Array, Array], Array]:
        (held, filled), (row, swap, place) = carry, new
        full = filled == size
        place = jnp.where(full, place, filled)
        output = jnp.where(full & swap, held[place], row)
        held = jnp.where(~full | swap, held.at[place].set(row), held)
        return (held, jnp.minimum(filled + 1, size)), output

    # the scan moves indices into the pool's and the new images together, so that images are copied only once
    rows = jnp.concatenate([pool["images"], images])
    start = (jnp.arange(size), pool["filled"])
    (held, filled), output = lax.scan(visit, start, (size + jnp.arange(len(images)), swapped, places))
    return rows[parallel.local(output)], {"images": rows[held], "filled": filled}
