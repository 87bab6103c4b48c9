"""RuntimeClasses of tests: one for each handler beside the default, under the handler's own name."""

from typing import Any

DEFAULT = "runc"


def runtime_class(name: str, handler: str = "") -> dict[str, Any]:
    """`handler`: the class's own name, unless another is given."""
    return {
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": {"name": name},
        "handler": handler or name,
    }


def on(runtime: str) -> dict[str, Any]:
    """The fields of a pod's spec that put it on that runtime."""
    return {} if runtime == DEFAULT else {"runtimeClassName": runtime}
