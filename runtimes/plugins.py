"""Runtime types of other packages: the entry point group `nodeagent.runtimes`, type name -> `RuntimeFactory`.

A package is imported only when the configuration uses its type: one that is broken and not used harms nobody. Whatever is
wrong with one that is used is a single PluginError, which names the package. What it makes is handed out behind a boundary
(runtimes/boundary.py): its bugs are errors of the runtime, and end nothing else.
"""

import dataclasses
import functools
import importlib.metadata
import inspect
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from typing_extensions import override

from runtimes.boundary import Boundary, VerbObserver, VerbScope, unobserved, unscoped, words
from runtimes.contract import ImageService, NetworkProvider
from runtimes.oci.images.contract import ImageStore
from runtimes.registry import Runtime, RuntimeFactory

log = logging.getLogger(__name__)

ENTRY_POINT_GROUP = "nodeagent.runtimes"


class PluginContext(Protocol):
    """What the agent offers to a factory (docs/runtime-plugins.md)."""

    @property
    def images(self) -> ImageStore:
        """The store that all runtimes of the engine share, started."""
        ...

    @property
    def network(self) -> NetworkProvider:
        """CNI, as configured."""
        ...

    @property
    def cgroup_driver(self) -> Literal["cgroupfs", "systemd"]: ...

    def state_dir(self, handler: str) -> Path:
        """The handler's own folder that survives a reboot; made by whoever writes there first."""
        ...

    def run_dir(self, handler: str) -> Path:
        """The handler's own folder for what need not survive a reboot."""
        ...

    def oci(self, handler: str, settings: Mapping[str, Any]) -> Runtime:
        """The engine, as type `oci` makes it from such settings: for types that change or wrap it. Raises ValueError."""
        ...


class PluginError(ValueError):
    """A runtime type of another package cannot be used; the text names the package and says why."""


class Contained(RuntimeFactory):
    """A factory whose runtimes are handed out behind a boundary.

    `stores`: what this process's factories have handed out before, by the inside's identity: runtimes that share a store go on
    sharing it, which is how the agent tells how many there are. `observe` hears of their verbs, `scope` is around them.
    """

    def __init__(
        self,
        factory: RuntimeFactory,
        stores: dict[int, tuple[ImageService, ImageService]],
        *,
        whose: str = "",
        observe: VerbObserver = unobserved,
        scope: VerbScope = unscoped,
    ) -> None:
        self._factory = factory
        self._stores = stores
        self._watched = functools.partial(Boundary, observe=observe, scope=scope)
        self._whose = whose  # of another package: what it is, and whose

    @override
    def __call__(self, handler: str, settings: Mapping[str, Any], context: Any) -> Runtime:
        inner = self._factory(handler, settings, context)
        name = f"runtime {handler}"
        boundary = self._watched(f"{name} ({self._whose})" if self._whose else name, bounded=bool(self._whose))
        own = inner.images is not getattr(context, "images", None)
        keeper = boundary if own else self._watched("the engine's image store", bounded=False)
        _, images = self._stores.setdefault(id(inner.images), (inner.images, keeper.images(inner.images)))
        return dataclasses.replace(boundary.runtime(inner), images=images)


class Plugin(RuntimeFactory):
    """The factory of one type, loaded when it is first called."""

    def __init__(self, type_name: str, points: list[importlib.metadata.EntryPoint], *, built_in: bool) -> None:
        self._type = type_name
        self._points = points
        self._built_in = built_in
        self._packages = " and ".join(sorted(_package(point) for point in points))
        self.whose = f"type {type_name!r} of package {self._packages}"

    @override
    def __call__(self, handler: str, settings: Mapping[str, Any], context: Any) -> Runtime:
        """Raises PluginError; ValueError of the factory's own as it is."""
        names = self._packages
        if self._built_in:
            raise PluginError(f"type {self._type!r} is built in, but package {names} provides it, too: uninstall it")
        if len(self._points) > 1:
            raise PluginError(f"type {self._type!r} is provided by packages {names}: uninstall all but one")
        point = self._points[0]
        whose = self.whose
        factory = _loaded(point, whose)
        try:
            inspect.signature(factory).bind(handler, settings, context)
        except (TypeError, ValueError) as error:
            raise PluginError(f"{whose}: {point.value} does not take (handler, settings, context): {error}") from error
        try:
            made = factory(handler, settings, context)
        except ValueError:
            raise
        except (Exception, SystemExit) as error:
            log.debug("%s", whose, exc_info=error)
            raise PluginError(f"{whose}: {point.value} failed: {words(error)}") from error
        if not isinstance(made, Runtime):
            raise PluginError(f"{whose}: {point.value} returned {type(made).__name__}, not runtimes.registry.Runtime")
        if made.handler != handler:
            raise PluginError(f"{whose}: {point.value} made a runtime for handler {made.handler!r}, not {handler!r}")
        return made


def factories(
    built_in: Mapping[str, RuntimeFactory], observe: VerbObserver = unobserved, scope: VerbScope = unscoped
) -> dict[str, RuntimeFactory]:
    """The built-in runtime types and those of installed packages, behind a boundary each. Nothing is imported yet."""
    by_type: dict[str, list[importlib.metadata.EntryPoint]] = {}
    for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        found = by_type.setdefault(point.name, [])
        # a package that is found twice on the path counts once: Python would import the first
        if _package(point) not in map(_package, found):
            found.append(point)
    stores: dict[int, tuple[ImageService, ImageService]] = {}
    found_types: dict[str, RuntimeFactory] = {
        name: Contained(factory, stores, observe=observe, scope=scope) for name, factory in built_in.items()
    }
    for name, points in by_type.items():
        plugin = Plugin(name, points, built_in=name in built_in)
        found_types[name] = Contained(plugin, stores, whose=plugin.whose, observe=observe, scope=scope)
    return found_types


def _loaded(point: importlib.metadata.EntryPoint, whose: str) -> RuntimeFactory:
    try:
        factory: RuntimeFactory = point.load()
    except (Exception, SystemExit) as error:  # whatever a foreign module does when it is imported
        log.debug("%s", whose, exc_info=error)
        raise PluginError(f"{whose} cannot be loaded: {words(error)}") from error
    if not callable(factory):
        raise PluginError(f"{whose}: {point.value} is a {type(factory).__name__}, and cannot be called")
    return factory


def _package(point: importlib.metadata.EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.module
