"""Downloads files of published weights, once, and verifies them by the checksum in their names."""

import hashlib
import http.client
import re
import shutil
import sys
import urllib.error
import urllib.request
from pathlib import Path

from gan_jax.data import cache
from gan_jax.errors import Unreachable, UserError
from gan_jax.files import atomic

TIMEOUT = 30.0  # seconds without data


def downloaded(url: str) -> Path:
    """Returns a file from the cache; on first use it is downloaded, completely or not at all.

    Args:
        url: The address; its file name has the first digits of the file's SHA-256: "name-0123abcd.pth".

    Raises:
        Unreachable: If it cannot be downloaded.
        UserError: If it has another checksum.
    """
    path = cache.directory() / url.rpartition("/")[2]
    if not path.exists():
        print(f"downloading {url} to {path.parent} (needed only once) ...", file=sys.stderr)
        try:
            with atomic(path) as file, urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
                shutil.copyfileobj(answer, file)
                file.flush()
                verify(Path(file.name), path.name)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            raise Unreachable(
                f"{url} cannot be downloaded ({error}); download it on another machine, and give its path or put "
                f"it into {path.parent}"
            ) from error
    verify(path, path.name)
    return path


def verify(path: Path, name: str) -> None:
    """Raises UserError unless a file's SHA-256 begins with the digits in `name`, such as "name-0123abcd.pth"."""
    prefix = re.findall("-([0-9a-f]{8,64})[.]", name)[-1]
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(prefix):
        raise UserError(
            f"weights {str(path)!r}: the SHA-256 is {digest}, but that of {name} begins with {prefix}: the file is "
            "damaged or another one; delete it, and download it again"
        )
