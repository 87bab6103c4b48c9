"""Container log files on the node: their folders, and their rotation."""
