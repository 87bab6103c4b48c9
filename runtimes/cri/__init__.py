"""Runtimes behind a CRI v1 socket: containerd, CRI-O. The messages go there as they are, with a deadline each."""
