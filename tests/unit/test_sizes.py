"""A function fits on a screen."""

import ast
from collections.abc import Iterator
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
PACKAGES = ("cni", "csi", "runtimes", "nodeagent")
LINES = 50

# Tables in the form of a function, each line of which is like the others: nothing is gained by cutting them.
TABLES = {
    "nodeagent/cli/app.py:run",  # the options of a command
    "nodeagent/cli/app.py:hollow",
    "nodeagent/cli/app.py:isolation",
    "nodeagent/cli/testers/csi.py:test",
    "nodeagent/cli/testers/cni.py:test",
    "runtimes/testing/cases/test_metrics.py:test_metrics_of_what_containers_did",  # a table of metrics
}
# To be cut.
TOO_LONG = {
    "runtimes/oci/spec/mounts.py:container_mounts",
}


def _functions(node: ast.AST, name: str = "") -> Iterator[tuple[str, int]]:
    """(dotted name, lines) of every function, also of those within others."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            dotted = f"{name}.{child.name}" if name else child.name
            if not isinstance(child, ast.ClassDef):
                assert child.end_lineno is not None
                yield dotted, child.end_lineno - child.lineno + 1
            yield from _functions(child, dotted)
        else:
            yield from _functions(child, name)


def test_functions_fit_on_a_screen() -> None:
    """50 lines at most, but for tables; an exception that is none any more is struck from the list."""
    found = {
        f"{path.relative_to(REPO)}:{name}"
        for package in PACKAGES
        for path in (REPO / package).rglob("*.py")
        for name, lines in _functions(ast.parse(path.read_text()))
        if lines > LINES
    }
    assert found == TABLES | TOO_LONG
