"""A node for each file, with the demo image in its store; nodes of their own for tests that end or configure one."""

from node_fixtures import demo_image, node, own_node

__all__ = ["demo_image", "node", "own_node"]
