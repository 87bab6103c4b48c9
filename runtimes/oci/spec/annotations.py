"""Which annotations of a pod reach its runtime: those that an administrator has allowed, by default none.

Runtimes obey annotations: cgroups, mounts, hooks, flags, devices. A pod's author writes them as freely as a name.
"""

import re
from collections.abc import Iterable, Mapping

_OURS = "io.kubernetes.cri."  # the structure of the pod, which runtimes believe


def allowed(annotations: Mapping[str, str], patterns: Iterable[str]) -> dict[str, str]:
    """Those whose name matches a pattern; in a pattern, `*` stands for anything but `/`. Pure."""
    rules = [_rule(pattern) for pattern in patterns]
    return {
        name: value
        for name, value in annotations.items()
        if not name.startswith(_OURS) and any(rule.fullmatch(name) for rule in rules)
    }


def _rule(pattern: str) -> re.Pattern[str]:
    return re.compile("[^/]*".join(re.escape(part) for part in pattern.split("*")))
