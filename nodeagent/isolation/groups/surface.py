"""Group 1, attack surface: what of the kernel a pod can reach, and what it was deprived of."""

from nodeagent.isolation.contract import Group
from nodeagent.isolation.groups import attempts, interfaces, restrictions

GROUP = Group(
    name="surface",
    title="Attack surface",
    sections=(
        "identity",
        "syscalls",
        "attempts",
        "sockets",
        "devices",
        "filesystems",
        f"files={','.join(interfaces.SETTINGS)}",
    ),
    probes=(*interfaces.PROBES, *restrictions.PROBES, *attempts.PROBES),
)
