"""Pictures of a run's report: samples, real examples and explorations as figures of a readable size, with captions."""

import base64
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path

import numpy as np

from gan_jax import pictures

EXPLORATIONS = ("neighbours", "memorisation", "collapse", "directions", "interpolation", "filters", "inversion")
PAGE = 1000  # width of the page, in pixels


def samples(run: Path, captions: Mapping[str, str], last: int) -> list[str]:
    """Returns the newest samples, real examples, and the animation.

    Args:
        run: The run directory.
        captions: "samples" or "real" -> what the rows and columns of this picture are.
        last: Last step of the run.
    """
    drawn = pictures.by_step(run / "samples")
    figures = [figure(path, _joined(f"step {step:,}", captions, "samples")) for step, path in list(drawn.items())[-1:]]
    figures += [figure(path, _joined("real examples", captions, "real")) for path in _either(run / "real")]
    if (run / "animation.gif").is_file():
        figures.append(figure(run / "animation.gif", f"steps {min(drawn, default=0):,} to {last:,}"))
    return figures


def evolution(run: Path) -> list[str]:
    """Returns samples of the first step and at most seven others, if there are at least two."""
    drawn = pictures.by_step(run / "samples")
    first, later = list(drawn)[:1], list(drawn)[1:]
    if len(later) > 7:  # evenly on a logarithmic scale
        later = sorted({min(later, key=lambda s: abs(np.log(s / t))) for t in np.geomspace(later[0], later[-1], 7)})
    return [figure(drawn[step], f"step {step:,}", 300, 320) for step in first + later] if later else []


def varied(run: Path, captions: Mapping[str, str]) -> list[str]:
    """Returns the picture of codes varied one at a time, if there is one."""
    return [figure(path, captions.get("codes", "one code varied at a time")) for path in _either(run / "codes")]


def explored(folder: Path) -> list[tuple[Path, str]]:
    """Returns the pictures of the newest step of each kind in a folder, with captions."""
    pictures = []
    for path in folder.glob("*"):
        if match := re.fullmatch(r"([a-z].*)-step([0-9]+)-seed([0-9]+)\.(?:png|gif)", path.name):
            kind, step, seed = match[1], int(match[2]), int(match[3])
            place = next((i for i, known in enumerate(EXPLORATIONS) if kind.startswith(known)), len(EXPLORATIONS))
            pictures.append((place, kind, step, seed, path))
    newest = {kind: step for _, kind, step, *_ in sorted(pictures)}
    return [
        (path, f"{kind.replace('-', ', ')}; step {step:,}, seed {seed}")
        for _, kind, step, seed, path in sorted(pictures)
        if step == newest[kind]
    ]


def figure(path: Path, caption: str, least: int = 440, most: int | None = PAGE) -> str:
    """Returns a picture as HTML, enlarged by a whole factor if it is smaller than `least` pixels.

    Args:
        path: A PNG or GIF.
        caption: Text below it.
        least: Width in pixels.
        most: Width to which a larger picture is shrunk; None lets it scroll instead, so that text in it can be read.
    """
    caption, data, kind = escape(caption), path.read_bytes(), path.suffix[1:]
    pixels = int.from_bytes(data[16:20], "big") if kind == "png" else int.from_bytes(data[6:8], "little")
    width = pixels * max(1, -(-least // pixels))
    shrunk = most is not None and width > most
    look = "" if shrunk else ' class="pixels"' if width <= PAGE else ' class="whole"'
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    image = f'<img{look} alt="{caption}" width="{most if shrunk else width}" src="{source}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def _either(path: Path) -> list[Path]:
    """Returns the picture of a path without ending, as still or moving."""
    return [file for ending in (".png", ".gif") if (file := path.with_name(path.name + ending)).is_file()]


def _joined(text: str, captions: Mapping[str, str], name: str) -> str:
    return f"{text}; {captions[name]}" if name in captions else text
