"""Versions: of this program, and of the Kubernetes release whose node it is indistinguishable from."""

from importlib.metadata import PackageNotFoundError, version

KUBERNETES_VERSION = "v1.36.0"


def agent_version() -> str:
    try:
        return version("nodeagent")
    except PackageNotFoundError:  # run from a checkout without being installed
        return "0.1.0"
