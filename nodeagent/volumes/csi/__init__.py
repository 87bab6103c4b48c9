"""Volumes of CSI drivers, as a node agent drives them: registration, what the API is told of the node, staging and publishing."""
