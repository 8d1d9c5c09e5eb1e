"""Plots of points in the plane, as pictures: uint8 `[H, W, 3]`."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gan_jax.pictures import expect

REFERENCE = "#b4bac4"  # real points
LEVELS = ["#ffffff", "#f8fafc", "#f1f5f9", "#eaf0f6", "#e3ebf3", "#dce6f0", "#d5e1ed", "#cedcea", "#c7d7e7", "#c0d2e4"]


def scatter(points: ArrayLike, reference: ArrayLike | None = None, limit: float | None = None) -> np.ndarray:
    """Returns a scatter plot of points in the plane.

    Args:
        points: `[N, 2]`, generated points.
        reference: `[M, 2]`, real points, drawn in grey below.
        limit: Half the side of the square shown around the origin; by default the reference fits, without one the
            points.

    Raises:
        UserError: If an array has another shape.
    """
    layers = _layers(points, reference)
    for layer in layers:
        limit = limit or 1.15 * float(np.abs(layer).max(where=np.isfinite(layer), initial=0.0)) or None
    return _plane(limit or 1, layers, REFERENCE)


def field(
    points: ArrayLike,
    reference: ArrayLike | None,
    axis: ArrayLike,
    logits: ArrayLike,
    gradient: ArrayLike | None = None,
    limit: float | None = None,
) -> np.ndarray:
    """Returns a scatter plot over the critic's level sets; deeper blue is more real.

    Levels are evenly spaced between the 2nd and the 98th percentile of the logits, so a logits + b, a > 0, gives the
    same picture. Non-finite logits are left out; if all are equal there are no levels. All plots have the same size.

    Args:
        points: `[N, 2]`, generated points.
        reference: `[M, 2]`, real points, drawn in grey below; or None.
        axis: `[n]`, increasing: the x and y coordinates of the logits.
        logits: `[n, n]`; entry `[i, j]` is at y = `axis[i]`, x = `axis[j]`.
        gradient: `[m, m, 2]`, (d/dx, d/dy) at m evenly spaced coordinates from `axis[0]` to `axis[-1]`, drawn as
            arrows of one length; m of about 16.
        limit: Half the side of the square shown around the origin; by default the axis fits.

    Raises:
        UserError: If an array has another shape.
    """
    axis, logits = np.asarray(axis, np.float64), np.asarray(logits, np.float64)
    expect(axis.ndim == 1 and len(axis) > 1 and bool((np.diff(axis) > 0).all()), "axis", axis, "[n], increasing")
    expect(logits.shape == 2 * axis.shape, "logits", logits, f"[{len(axis)}, {len(axis)}], the length of axis")
    arrows = np.asarray(np.empty((0, 0, 2)) if gradient is None else gradient, np.float64)
    expect(arrows.ndim == 3 and arrows.shape == (len(arrows), len(arrows), 2), "gradient", arrows, "[m, m, 2]")

    def backdrop(axes: Any) -> None:
        axes.set_facecolor(LEVELS[len(LEVELS) // 2])
        finite = np.isfinite(logits)
        low, high = np.percentile(logits[finite], (2, 98)) if finite.any() else (0, 0)
        if low < high:
            heights = np.ma.masked_where(~finite, (np.where(finite, logits, low) - low) / (high - low))
            steps = np.linspace(0, 1, len(LEVELS) + 1)[1:-1]
            axes.contourf(axis, axis, heights, levels=steps, colors=LEVELS, extend="both")
            axes.contour(axis, axis, heights, levels=steps, colors="#8fa3bb", linewidths=0.5, linestyles="solid")
        places, lengths = np.linspace(axis[0], axis[-1], len(arrows)), np.linalg.norm(arrows, axis=2)
        shown = np.isfinite(lengths) & (lengths > 0)
        row, column = np.nonzero(shown)
        step = 0.55 * (axis[-1] - axis[0]) / max(1, len(arrows) - 1)
        x, y = (step * arrows[shown] / lengths[shown][:, None]).T
        look = {"angles": "xy", "scale_units": "xy", "scale": 1, "pivot": "mid", "width": 0.003, "color": "#7688a1"}
        axes.quiver(places[column], places[row], x, y, **look)

    return _plane(limit or float(np.abs(axis).max()), _layers(points, reference), "#6d7580", backdrop)


def _layers(points: ArrayLike, reference: ArrayLike | None) -> list[np.ndarray]:
    layers = []
    for name, array in (("reference", reference), ("points", points)):
        layers.append(np.asarray(np.empty((0, 2)) if array is None else array, np.float32))
        expect(layers[-1].shape[1:] == (2,), name, layers[-1], "[N, 2]")
    return layers


def _plane(
    limit: float, layers: list[np.ndarray], grey: str, backdrop: Callable[[Any], None] = lambda axes: None
) -> np.ndarray:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # slow to import, and only toy problems need it
    from matplotlib.figure import Figure

    canvas = FigureCanvasAgg(Figure(figsize=(4, 4), dpi=120))
    axes = canvas.figure.add_axes((0.08, 0.07, 0.88, 0.88))
    backdrop(axes)
    for layer, colour in zip(layers, (grey, "#d1622b"), strict=True):
        size = max(2, min(20, 6000 / (len(layer) + 1)))  # smaller dots for more points, so that modes keep their shape
        axes.scatter(*layer.T, s=size, c=colour, alpha=0.6, linewidths=0)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    axes.tick_params(length=0, labelsize=7, labelcolor="#7a808a")
    axes.spines[:].set_color("#d5d9df")
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
