"""A node's state for tests of what changes it."""

from small_machine import state

__all__ = ["state"]
