"""All groups, in the order in which they run: what is only looked at first, what loads the machine last."""

from nodeagent.isolation.contract import Group
from nodeagent.isolation.groups import cost, identity, leaks, limits, surface
from nodeagent.isolation.groups.escapes import group as escapes

GROUPS: tuple[Group, ...] = (surface.GROUP, leaks.GROUP, identity.GROUP, escapes.GROUP, limits.GROUP, cost.GROUP)


class UnknownName(ValueError):
    """There is no such group or probe; the text names the valid ones."""


def chosen(names: tuple[str, ...]) -> tuple[Group, ...]:
    """The groups of these names, or all; a probe's id stands for its group with that probe alone. Raises UnknownName."""
    if not names:
        return GROUPS
    for name in names:
        group = next((group for group in GROUPS if name.startswith(f"{group.name}.")), None)
        if name not in (each.name for each in GROUPS) and (
            group is None or name not in (probe.id for probe in group.probes)
        ):
            valid = [probe.id for probe in group.probes] if group is not None else [each.name for each in GROUPS]
            raise UnknownName(f"{name!r} is none of {', '.join(valid)}")
    found = (_narrowed(group, names) for group in GROUPS)
    return tuple(group for group in found if group.probes)


def _narrowed(group: Group, names: tuple[str, ...]) -> Group:
    if group.name in names:
        return group
    probes = tuple(probe for probe in group.probes if probe.id in names)
    return Group(
        name=group.name,
        title=group.title,
        probes=probes,
        sections=group.sections,
        experiments=group.experiments,
    )
