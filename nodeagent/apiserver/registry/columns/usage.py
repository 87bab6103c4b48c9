"""Rows of what nodes and pods use (metrics.k8s.io)."""

from datetime import datetime

from nodeagent.apiserver.registry.table import NAME, Cell, TableView, column, name_of
from runtimes.kube import quantity
from runtimes.kube.json_object import JsonObject


def _total(usages: list[JsonObject], resource: str) -> int:
    """Rounded up, in the resource's base unit times a thousand."""
    return sum(quantity.milli(usage.get(resource) or 0) for usage in usages)


def _cells(obj: JsonObject, usages: list[JsonObject]) -> list[Cell]:
    memory_bytes = _total(usages, "memory") // 1000
    return [name_of(obj), f"{_total(usages, 'cpu')}m", f"{memory_bytes // 1024}Ki", obj.get("window") or ""]


def _node(obj: JsonObject, now: datetime) -> list[Cell]:
    return _cells(obj, [obj.get("usage") or {}])


def _pod(obj: JsonObject, now: datetime) -> list[Cell]:
    return _cells(obj, [container.get("usage") or {} for container in obj.get("containers") or ()])


_COLUMNS = (NAME, column("CPU"), column("Memory"), column("Window"))

NODES = TableView(columns=_COLUMNS, cells=_node)
PODS = TableView(columns=_COLUMNS, cells=_pod)
