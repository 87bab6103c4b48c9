"""The annotations of pods that mean something to their node: where they come from, and what was said so in older days.

Source: docs/facts/pod-lifecycle.md 1.2.
"""

SOURCE = "kubernetes.io/config.source"
SEEN = "kubernetes.io/config.seen"
HASH = "kubernetes.io/config.hash"
MIRROR = "kubernetes.io/config.mirror"
LOCAL = frozenset((SOURCE, SEEN, MIRROR))
"""Those that the agent keeps in its own copy of a pod."""

APPARMOR_PREFIX = "container.apparmor.security.beta.kubernetes.io/"
"""Followed by a container's name: its AppArmor profile, as pods said it before there was a field."""
