"""Fixtures: whole nodes, with the demo image in their stores."""

from node_fixtures import demo_image, node, own_node

__all__ = ["demo_image", "node", "own_node"]
