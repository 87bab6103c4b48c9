"""The agent. Here only what has to come before any of its imports: libraries without what nobody asks them for."""

from runtimes.linux.bare_package import bare_package

bare_package("lightkube")  # its models are used, not its client: 3.3 MB and 70 ms of every process
