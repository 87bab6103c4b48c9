"""The HTTPS endpoint of the node: logs, exec, attach, pods, health."""
