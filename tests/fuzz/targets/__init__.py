"""All targets: one file each, whose `TARGET` (or `TARGETS`) it is."""

import importlib
import pkgutil

from tests.fuzz.contract import Target


def all_targets() -> dict[str, Target]:
    """By name. Imports the whole house, which takes a second or two."""
    found = {target.name: target for module in pkgutil.iter_modules(__path__) for target in of_module(module.name)}
    return dict(sorted(found.items()))


def of_module(name: str) -> tuple[Target, ...]:
    """The targets of one file."""
    loaded = importlib.import_module(f"{__name__}.{name}")
    return (loaded.TARGET,) if hasattr(loaded, "TARGET") else tuple(loaded.TARGETS)


def module_of(name: str) -> str:
    """The file that has a target. Raises StopIteration."""
    return next(
        module.name
        for module in pkgutil.iter_modules(__path__)
        if any(target.name == name for target in of_module(module.name))
    )
