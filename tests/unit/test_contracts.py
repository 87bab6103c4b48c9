"""Contracts say what their implementations promise and what their callers get: every public function, with its errors."""

import builtins
import importlib
import inspect
import re
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtimes import errors

REPO = Path(__file__).resolve().parents[2]
CONTRACTS = sorted(
    ".".join(path.relative_to(REPO).with_suffix("").parts)
    for package in ("cni", "csi", "runtimes", "nodeagent")
    for path in (REPO / package).rglob("contract.py")
)
NO_ERRORS = re.compile(r"\braises?\s+(?:nothing|none)\b|\bno\s+\w+\s+raises\b|\bnever\s+raises\b", re.IGNORECASE)
RAISES = re.compile(r"\braises?\b", re.IGNORECASE)


def _classes(module: types.ModuleType) -> list[type]:
    return [each for _, each in inspect.getmembers(module, inspect.isclass) if each.__module__ == module.__name__]


def _functions(of: type) -> Iterator[tuple[str, object]]:
    """Public functions and properties that the class itself defines."""
    for name, value in vars(of).items():
        if not name.startswith("_") and isinstance(value, types.FunctionType | property):
            yield name, value


def _doc(of: type, name: str) -> str:
    """Its own docstring, or the one of the function that it overrides."""
    return inspect.getdoc(getattr(of, name)) or next(
        (found for base in of.__mro__ if name in vars(base) and (found := vars(base)[name].__doc__)), ""
    )


def _class_doc(of: type) -> str:
    """Its own docstring and those of the contracts that it extends."""
    return " ".join(base.__doc__ or "" for base in of.__mro__ if base.__module__ == of.__module__)


def _names_errors(text: str, module: types.ModuleType) -> bool:
    """Whether the text says that nothing is raised, or what is."""
    if NO_ERRORS.search(text):
        return True
    known = {**vars(builtins), **vars(errors), **vars(module)}
    words = (known.get(word) for word in re.findall(r"\b[A-Z]\w+", text))
    raised = any(isinstance(word, type) and issubclass(word, BaseException) for word in words)
    return RAISES.search(text) is not None and (raised or "ApiError" in text or "anything" in text)


@pytest.mark.parametrize("contract", CONTRACTS)
def test_every_function_has_a_docstring_with_its_errors(contract: str) -> None:
    """In its own docstring or, where it holds for all of them, in the one of its class; a property needs to name none."""
    module = importlib.import_module(contract)
    silent = [
        f"{of.__name__}.{name}"
        for of in _classes(module)
        for name, value in _functions(of)
        if not (doc := _doc(of, name))
        or not (isinstance(value, property) or _names_errors(doc, module) or _names_errors(_class_doc(of), module))
    ]
    assert silent == []


def test_contracts_are_found() -> None:
    """Those that the architecture names are among them."""
    assert {"runtimes.contract", "runtimes.linux.cgroups.contract", "nodeagent.pods.steps.contract"} <= set(CONTRACTS)
