"""Paths of leaves in trees, as text such as "generator/params/Dense_0/kernel"."""

from typing import Any

import jax

from gan_jax.types import PyTree


def path(entries: tuple) -> str:
    """Returns a leaf's path, from that of `jax.tree_util`, as text."""
    return jax.tree_util.keystr(entries, simple=True, separator="/")


def flat(tree: PyTree) -> dict[str, Any]:
    """Returns a tree's leaves by path, in the order of the tree."""
    return {path(entries): leaf for entries, leaf in jax.tree_util.tree_leaves_with_path(tree)}
