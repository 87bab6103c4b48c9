"""The runtime type `traced`: an OCI runtime of the engine whose every CRI call is written down, one JSON line each.

runtimes:
  runc-traced:
    type: traced
    path: /usr/sbin/runc                             # path, args, annotations: as with type oci
    options: {file: /var/log/nodeagent-calls.jsonl}

{"time": 1790000000.1, "handler": "runc-traced", "verb": "start_container", "id": "3f2a…", "ms": 31.4, "fault": ""}
"""

import dataclasses
import inspect
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtimes.errors import RuntimeFault
from runtimes.plugins import PluginContext
from runtimes.registry import Runtime


def traced(handler: str, settings: Mapping[str, Any], context: PluginContext) -> Runtime:
    """The factory. Raises ValueError for settings that it does not understand, which the agent shows with the handler."""
    options = dict(settings["options"])
    file = options.pop("file", None)
    if not isinstance(file, str) or not file.startswith("/"):
        raise ValueError("options.file: needs the absolute path of the file to write")
    if options:
        raise ValueError(f"options.{min(options)}: unknown field")
    inner = context.oci(handler, settings)
    return dataclasses.replace(inner, service=Traced(inner.service, handler, Path(file)))


class Traced:
    """A RuntimeService that passes everything on. Streams (`Runtime.streaming`) go to the engine directly."""

    def __init__(self, inner: Any, handler: str, file: Path) -> None:
        self._inner = inner
        self._handler = handler
        self._file = file

    def __getattr__(self, verb: str) -> Any:
        found = getattr(self._inner, verb)
        if not inspect.iscoroutinefunction(found):
            return found  # capabilities, events

        async def call(request: Any, **options: Any) -> Any:
            started, fault = time.monotonic(), ""
            try:
                return await found(request, **options)
            except RuntimeFault as error:
                fault = f"{type(error).__name__}: {error}"
                raise
            finally:
                self._write(verb, request, (time.monotonic() - started) * 1000, fault)

        return call

    def _write(self, verb: str, request: Any, ms: float, fault: str) -> None:
        subject = getattr(request, "container_id", "") or getattr(request, "pod_sandbox_id", "")
        line = {"time": time.time(), "handler": self._handler, "verb": verb, "id": subject, "ms": round(ms, 1)}
        with self._file.open("a") as file:
            file.write(json.dumps(line | {"fault": fault}) + "\n")
