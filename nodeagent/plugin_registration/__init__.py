"""Plugins of the node that make themselves known by a socket in `<root>/plugins_registry`: CSI drivers, device plugins."""
