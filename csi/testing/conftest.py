"""For `pytest --pyargs csi.testing`: the fixture beside the cases."""

from csi.testing.fixtures import driver

__all__ = ["driver"]
