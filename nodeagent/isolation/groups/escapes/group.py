"""The group: its probes in the order in which somebody would try them."""

from nodeagent.isolation.contract import Group
from nodeagent.isolation.groups.escapes import handed_over, kernel_files, links, neighbours, outside

GROUP = Group(
    name="escapes",
    title="Known escapes",
    sections=(
        "identity",
        "syscalls",
        "devices",
        "mounts",
        "masks",
        "descriptors",
        "roots",
        "keys=WORD",
        "network=WORD",
        f"files={','.join(kernel_files.PATHS)}",
    ),
    experiments=(
        *handed_over.EXPERIMENTS,
        *links.EXPERIMENTS,
        *neighbours.EXPERIMENTS,
        *outside.EXPERIMENTS,
    ),
    probes=(
        *kernel_files.probes(),
        *handed_over.probes(),
        *links.probes(),
        *neighbours.probes(),
        *outside.probes(),
    ),
)
