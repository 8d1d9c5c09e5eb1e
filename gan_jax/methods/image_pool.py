"""The image pool: a critic judges images of the past too (Shrivastava et al. 2017, arXiv:1612.07828).

It is a slot of `TrainState.extra`, the same on every device; as in CycleGAN (Zhu et al. 2017, arXiv:1703.10593).
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
    """Returns a pool without images.

    Args:
        size: How many images it holds when it is full: 50 in CycleGAN; 0 makes `swap` return all images as they are.
        shape: Of an image.

    Returns:
        "images" `[size, *shape]`, and how many of them, from the first, are "filled", i32[].

    Raises:
        UserError: If the size is negative.
    """
    if size < 0:
        raise UserError(f"size={size}: a pool holds that many images; give 0 for none, or 50 as CycleGAN")
    return {"images": jnp.zeros((size, *shape)), "filled": jnp.zeros((), jnp.int32)}


def swap(pool: Pool, images: Array, key: Array) -> tuple[Array, Pool]:
    """Swaps new images, one after another, for some of the past.

    While the pool is not full, it keeps a copy of the image and gives it back. Then with probability 1/2 it keeps it
    in a random place and gives the image that was there, and else gives it back. No gradient passes.

    The order is that of the global batch, so that the number of devices changes nothing.

    Args:
        pool: As in `empty`, the same on every device.
        images: This device's, `[b, *shape]`.
        key: The same on every device.

    Returns:
        Images to judge, `[b, *shape]`, and the pool thereafter.

    Raises:
        UserError: If the images are of another shape than the pool's.
    """
    size, *shape = pool["images"].shape
    if images.shape[1:] != tuple(shape):
        raise UserError(f"images are {images.shape[1:]}, and the pool was made for shape={tuple(shape)}")
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
        given = jnp.where(full & swap, held[place], row)
        held = jnp.where(~full | swap, held.at[place].set(row), held)
        return (held, jnp.minimum(filled + 1, size)), given

    # the images themselves move once: what is kept in order are rows of all, the pool's before the new
    rows = jnp.concatenate([pool["images"], images])
    start = (jnp.arange(size), pool["filled"])
    (held, filled), given = lax.scan(visit, start, (size + jnp.arange(len(images)), swapped, places))
    return rows[parallel.local(given)], {"images": rows[held], "filled": filled}
