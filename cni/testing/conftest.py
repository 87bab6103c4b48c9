"""For `pytest --pyargs cni.testing`: the fixtures beside the cases."""

from cni.testing.fixtures import network

__all__ = ["network"]
