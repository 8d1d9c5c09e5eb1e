"""Lists or clears the cache of decoded data, weights and compiled programs: `python -m gan_jax.cache`."""

import shutil
import time
from pathlib import Path
from typing import NamedTuple

from gan_jax.cli import cli
from gan_jax.data import cache
from gan_jax.devices.memory import text
from gan_jax.errors import NotFound, nearest

KINDS = {  # by the beginning of a file's name
    "classifier-": "classifier of a data set",
    "index-": "index of a tar file",
    "channels-": "colours of a data set",
    "pt_inception-": "weights of Inception",
}
COMPILED = "compiled"  # folder of compiled programs, by platform


class Entry(NamedTuple):
    """A file or a folder in the cache.

    Attributes:
        path: Its path.
        kind: Readable description.
        size: Size in bytes.
        written: When it was last written to, in seconds since 1970.
    """

    path: Path
    kind: str
    size: int
    written: float


def main(clear: tuple[str, ...] | None = None) -> None:
    """Lists the entries of the cache, or deletes them; what is needed later is made or downloaded again.

    Prepared sets of TensorFlow Datasets and Hugging Face are not part of it: they are in $TFDS_DATA_DIR and $HF_HOME.

    Args:
        clear: Delete the entries whose names or kinds begin with these words, such as classifier or "decoded images";
            with no words, delete all.
    """
    present = entries()
    if clear is None:
        for each in present:
            day = time.strftime("%Y-%m-%d", time.localtime(each.written))
            print(f"{text(each.size):>10}  {day}  {each.kind:26}  {_name(each)}")
        total = text(sum(each.size for each in present))
        print(f"{total:>10}  in {cache.directory()}; --clear [NAME OR KIND ...] deletes")
        return
    chosen = [each for each in present if not clear or _name(each).startswith(clear) or each.kind.startswith(clear)]
    if clear and not chosen:
        suggestion = nearest(" ".join(clear), {name for each in present for name in (_name(each), each.kind)})
        raise NotFound(
            f"--clear {' '.join(clear)}: {cache.directory()} has no entry of that name or kind; leave --clear out to "
            f"list them.{suggestion}"
        )
    for each in chosen:
        shutil.rmtree(each.path) if each.path.is_dir() else each.path.unlink(missing_ok=True)
    noun = "entry" if len(chosen) == 1 else "entries"
    print(f"deleted {len(chosen)} {noun}, {text(sum(each.size for each in chosen))}, of {cache.directory()}")


def entries() -> list[Entry]:
    """Returns the package's entries in the cache, sorted by name; other files there are ignored."""
    root = cache.directory()
    paths = [path for path in root.glob("*") if cache.WRITTEN.fullmatch(path.name)] + list(root.glob(f"{COMPILED}/*"))
    return [_entry(path) for path in sorted(paths)]


def _entry(path: Path) -> Entry:
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    about = [file.stat() for file in files]
    kind = next((kind for start, kind in KINDS.items() if path.name.startswith(start)), "decoded images")
    kind = "compiled programs" if path.parent.name == COMPILED else kind
    return Entry(path, kind, sum(each.st_size for each in about), max((each.st_mtime for each in about), default=0.0))


def _name(entry: Entry) -> str:
    return entry.path.relative_to(cache.directory()).as_posix()


if __name__ == "__main__":
    cli(main)
