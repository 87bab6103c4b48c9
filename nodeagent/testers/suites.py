"""The suites that there are, and which checks each has. Imports pytest, and the cases."""

import fnmatch
import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nodeagent.testers.record import Level


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """`node`: how pytest is told of it, all its variants."""

    id: str
    title: str
    group: str
    level: Level
    spec: str
    promise: str
    node: str


@dataclass(frozen=True, slots=True)
class Suite:
    """`package`: where the cases are, beside the plug-in that reads the options."""

    name: str
    package: str

    @property
    def plugin(self) -> str:
        return f"{self.package}.plugin"

    @property
    def folder(self) -> Path:
        found = importlib.util.find_spec(self.package)
        assert found is not None and found.origin is not None
        return Path(found.origin).parent

    def checks(self) -> list[Check]:
        """Every one, by group, as they stand there."""
        levels = importlib.import_module(f"{self.package}.levels")
        cases = importlib.import_module(f"{self.package}.cases")
        modules = sorted(info.name for info in pkgutil.iter_modules(cases.__path__))
        return [check for name in modules for check in _checks_of(f"{cases.__name__}.{name}", levels)]


CNI: Final = Suite("cni", "cni.testing")
CSI: Final = Suite("csi", "csi.testing")


def _checks_of(module: str, levels: Any) -> Iterator[Check]:
    group = module.rpartition(".test_")[2].replace("_", " ")
    for name, function in vars(importlib.import_module(module)).items():
        if not inspect.isfunction(function) or function.__module__ != module:
            continue
        told: dict[str, str] = levels.described(function)
        if told:
            yield Check(
                id=told["id"],
                title=title_of(name),
                group=group,
                level=Level(told["level"]),
                spec=told["spec"],
                promise=told["promise"],
                node=f"{module}::{name}",
            )


def title_of(function: str) -> str:
    """ "the namespace is gone" of test_d5_the_namespace_is_gone."""
    return function.split("_", 2)[2].replace("_", " ")


class NoSuchCheck(ValueError):
    """A pattern that fits no id."""


def chosen(checks: Sequence[Check], run: Iterable[str], skip: Iterable[str]) -> list[Check]:
    """Those whose ids fit a pattern of `run` (none: all of them) and none of `skip`. Globs; case does not matter.

    Raises NoSuchCheck for a pattern that fits nothing, so that a mistyped one is not taken for a run that passed.
    """
    wanted, unwanted = [each.upper() for each in run], [each.upper() for each in skip]
    for pattern in (*wanted, *unwanted):
        if not any(fnmatch.fnmatchcase(check.id, pattern) for check in checks):
            raise NoSuchCheck(f"{pattern!r} is the id of no check (--list shows them)")
    return [
        check
        for check in checks
        if (not wanted or any(fnmatch.fnmatchcase(check.id, pattern) for pattern in wanted))
        and not any(fnmatch.fnmatchcase(check.id, pattern) for pattern in unwanted)
    ]
