"""Import a part of a large package without the code of the package itself.

`import lightkube.models.core_v1` runs `lightkube/__init__.py` first, which imports an HTTP client that nobody here uses.
"""

import importlib.util
import sys
import types
from typing import Any

from typing_extensions import override


def bare_package(name: str) -> None:
    """Put the package there with nothing in it, unless it is imported already: its modules can be imported, and its own code runs
    when somebody asks it for a name. Does nothing where it is not installed."""
    if name in sys.modules or (spec := importlib.util.find_spec(name)) is None:
        return
    module = importlib.util.module_from_spec(spec)
    module.__class__ = _Bare
    sys.modules[name] = module


class _Bare(types.ModuleType):
    @override
    def __getattr__(self, name: str) -> Any:
        spec = self.__spec__
        if name.startswith("__") or spec is None or spec.loader is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        self.__class__ = types.ModuleType  # type: ignore[assignment]  # from here on as any other
        spec.loader.exec_module(self)
        return getattr(self, name)
