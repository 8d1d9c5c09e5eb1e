"""Lists the image files below a directory, and warns of files left out."""

import os
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from gan_jax.errors import NotFound, UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
RUN = "run.json"  # marks the directory of a run


class Listing(NamedTuple):
    """The images of a directory.

    Attributes:
        root: The directory.
        names: Sorted paths of the images relative to it, separated by "/".
    """

    root: Path
    names: list[str]

    @property
    def files(self) -> list[Path]:
        """The images' paths."""
        return [self.root / name for name in self.names]


def listed(path: str) -> Listing:
    """Lists the PNG, JPEG and WebP files in a directory and its subdirectories.

    Symbolic links are followed, except to a directory above them. Hidden files and directories, directories of runs
    (with a `run.json`), broken links, unreadable directories and files of other formats are left out; one warning
    counts them and names some.

    Args:
        path: The directory.

    Raises:
        NotFound: If there is no such directory.
        UserError: If it has no image, or is the directory of a run.
    """
    root = Path(os.path.expanduser(path))
    if not root.is_dir():
        raise NotFound(f"folder {path!r} does not exist or is not a directory")
    if (root / RUN).is_file():
        raise UserError(f"folder {path!r} is a run directory, as it contains {RUN}; give a folder of images")
    names, left_out = _walk(root)
    omissions = _described(left_out)
    if not names:
        raise UserError(
            f"folder {path!r} has no {', '.join(SUFFIXES)} file; check the path (a directory takes precedence "
            f"over a data set of the same name){f'; left out: {omissions}' if omissions else ''}"
        )
    if omissions:
        warnings.warn(f"folder {path!r} has {len(names):,} images; left out: {omissions}", stacklevel=1)
    return Listing(root, sorted(names))


def shown(name: str) -> str:
    """Returns a printable form of a file name, with bytes that are not UTF-8 escaped."""
    return name.encode("utf-8", "backslashreplace").decode()


def _walk(root: Path) -> tuple[list[str], Mapping[str, Sequence[str]]]:
    """Returns the paths of the images below a directory, and the omitted paths by reason."""
    names, left_out = [], defaultdict(list)
    pending = [("", frozenset([_identity(root)]))]
    while pending:
        folder, above = pending.pop()
        try:
            entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
        except OSError:
            left_out["unreadable"].append(folder or ".")
            continue
        if folder and any(entry.name == RUN for entry in entries):
            left_out[f"with a {RUN}"].append(folder)
            continue
        for entry in entries:
            name = folder + entry.name
            if entry.name.startswith("."):
                left_out["hidden"].append(name)
            elif entry.is_symlink() and not os.path.exists(entry.path):
                left_out["with a broken link"].append(name)
            elif entry.is_dir():
                if (identity := _identity(entry.path)) in above:
                    left_out["linked to a parent directory"].append(name)
                else:
                    pending.append((f"{name}/", above | {identity}))
            elif entry.is_file() and entry.name.lower().endswith(SUFFIXES):
                names.append(name)
            else:
                left_out["in other formats"].append(name)
    return names, left_out


def _identity(path: str | Path) -> tuple[int, int]:
    about = os.stat(path)
    return about.st_dev, about.st_ino


def _described(left_out: Mapping[str, Sequence[str]]) -> str:
    """Describes the omitted paths: for each reason their number and up to three of them."""
    parts = []
    for reason, names in sorted(left_out.items()):
        first = ", ".join(map(shown, sorted(names)[:3]))
        parts.append(f"{len(names):,} {reason} ({first}{', …' if len(names) > 3 else ''})")
    return ", ".join(parts)
