"""The source of an experiment that is defined in a notebook: the statements of its cells that it needs."""

import ast
import linecache
import re
import symtable
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple


class Statement(NamedTuple):
    """A statement of a cell.

    Attributes:
        text: Its source.
        binds: Names that it defines or assigns.
        reads: Global names that it or code in it reads.
        always: Whether it is needed by whatever follows: an import from __future__, or of all names of a module.
        future: Whether it is an import from __future__, which must come first.
    """

    text: str
    binds: set[str]
    reads: set[str]
    always: bool
    future: bool


def source(build: Callable[..., Any], config: Any) -> str | None:
    """Returns the source of an experiment in a notebook: `build`, `Config` and all that they need, in cell order.

    Other statements are left out, such as those that train, so that the run can be opened.

    Args:
        build: The experiment's `build`, under any name.
        config: The experiment's config, of a class of any name.

    Returns:
        The text of a module; None if the cells of no notebook define both.
    """
    statements = [statement for cell in _cells() for statement in _statements(cell)]
    names = {"build": getattr(build, "__qualname__", ""), "Config": type(config).__qualname__}
    chosen = {place for place, statement in enumerate(statements) if statement.always}
    wanted, known = [*names.values()], set()
    while wanted:
        name = wanted.pop()
        places = [place for place, statement in enumerate(statements) if name in statement.binds]
        if name in names.values() and not places:
            return None
        for place in reversed(places if name not in known else []):
            chosen.add(place)
            wanted += statements[place].reads
            if name not in statements[place].reads:
                break  # it needs no earlier value of the name
        known.add(name)
    needed = [statements[place] for place in sorted(chosen, key=lambda place: (not statements[place].future, place))]
    aliases = [f"{name} = {original}" for name, original in names.items() if name != original]
    return "\n\n".join([*(statement.text for statement in needed), *aliases]) + "\n"


def _cells() -> list[str]:
    """Returns the cells so far, in the order in which they were run: IPython's `In`, or another console's."""
    cells = vars(sys.modules["__main__"]).get("In")
    if isinstance(cells, list):
        return cells
    entries = [(name, entry) for name, entry in linecache.cache.items() if len(entry) == 4 and entry[1] is None]
    return ["".join(entry[2]) for name, entry in entries if re.search("ipykernel|python-input", name)]


def _statements(cell: str) -> Iterator[Statement]:
    """Yields the statements of a cell, none if it is not Python."""
    try:
        tree = ast.parse(cell)
    except SyntaxError:
        return
    for node in tree.body:
        decorators = "".join(f"@{ast.get_source_segment(cell, each)}\n" for each in getattr(node, "decorator_list", ()))
        text = f"{decorators}{ast.get_source_segment(cell, node)}"
        table = symtable.symtable(text, "cell", "exec")
        binds = {each.get_name() for each in table.get_symbols() if each.is_assigned() or each.is_imported()}
        future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        every = isinstance(node, ast.ImportFrom) and node.names[0].name == "*"
        added = [each.target for each in ast.walk(node) if isinstance(each, ast.AugAssign)]  # x += 1 also reads x
        reads = _reads(table) | (binds & {each.id for each in added if isinstance(each, ast.Name)})
        yield Statement(text, binds, reads, future or every, future)


def _reads(table: symtable.SymbolTable) -> set[str]:
    """Returns the global names that are read in a scope and in those within it."""
    outer = table.get_type() == "module"
    names = {each.get_name() for each in table.get_symbols() if each.is_referenced() and (outer or each.is_global())}
    return names.union(*map(_reads, table.get_children()))
