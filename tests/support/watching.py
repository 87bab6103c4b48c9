"""Everything that a watcher of a pod is told, change by change, as another controller would see it."""

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from node_under_test import NodeUnderTest, eventually

Seen = Callable[[], list[dict[str, Any]]]


@contextlib.contextmanager
def every_change(node: NodeUnderTest, name: str) -> Iterator[Seen]:
    """Watch one pod from now on; the value yields all versions of it so far, the present one first."""
    environment = {**os.environ, "KUBECONFIG": str(node.kubeconfig), "HOME": str(node.directory)}
    with tempfile.TemporaryFile("w+") as output:
        watcher = subprocess.Popen(
            ["kubectl", "get", "pod", name, "--watch", "-o", "json"], env=environment, stdout=output
        )
        try:
            eventually(lambda: _objects(output.fileno()), f"watch of {name}")
            yield lambda: _objects(output.fileno())
        finally:
            watcher.kill()
            watcher.wait()


def _objects(descriptor: int) -> list[dict[str, Any]]:
    text = os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode(errors="replace").lstrip()
    found: list[dict[str, Any]] = []
    while text:
        try:
            value, end = json.JSONDecoder().raw_decode(text)
        except ValueError:
            break  # half of an object
        found.append(value)
        text = text[end:].lstrip()
    return found
