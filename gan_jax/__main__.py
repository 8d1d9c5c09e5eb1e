"""The commands of the package: `python -m gan_jax`."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from gan_jax.cli import cli, listing

ROOT = Path(__file__).parent


def commands() -> Iterator[tuple[str, str]]:
    """Yields each command of the package, with the first line of its module's docstring."""
    for file in sorted([*ROOT.glob("*.py"), *ROOT.glob("*/*.py")]):
        text = file.read_text()
        if '\nif __name__ == "__main__":' in text and file != Path(__file__):
            name = ".".join(file.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__main__")
            first = (ast.get_docstring(ast.parse(text)) or "").split("\n")[0]
            yield f"python -m {name}", re.sub(r"(, |: )`?python -m.*", ".", first)


def main() -> None:
    """Lists the commands."""
    print(f"{listing(commands())}\n\n--help lists the flags of a command, python -m experiments what can be trained")


if __name__ == "__main__":
    cli(main)
