"""The HTTP face: paths, representations, lists, watches, discovery, streams to the node."""
