"""What a control of the Pod Security Standards is, and a pod as controls look at it. The words are pod-security-admission's."""

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

Version = tuple[int, int]


class Level(enum.StrEnum):
    """From the loosest to the strictest; each asks for all that those before it ask for."""

    PRIVILEGED = "privileged"
    BASELINE = "baseline"
    RESTRICTED = "restricted"


@dataclass(frozen=True, slots=True)
class Place:
    """A field of the pod that is not as a control wants it. `path`: from the pod; `owner`: "pod", or a container's name."""

    path: str
    owner: str = "pod"
    value: str = ""

    @property
    def is_pod(self) -> bool:
        return not self.path.startswith(("spec.containers", "spec.initContainers", "spec.ephemeralContainers"))


@dataclass(frozen=True, slots=True)
class Violation:
    """`reason (detail)` is what the admission plugin answers with; `fields`: the paths of what is wrong, in the pod's order."""

    control: str
    level: Level
    reason: str
    detail: str
    fields: tuple[str, ...]

    @override
    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})"


@dataclass(frozen=True, slots=True)
class Container:
    """`path`: of it, `spec.containers[0]`; `fields`: the container as it is written; `context`: its securityContext."""

    path: str
    name: str
    fields: Mapping[str, Any]
    context: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PodView:
    """A pod, which is judged by the rules of that version of Kubernetes."""

    pod: Mapping[str, Any]
    version: Version

    @property
    def spec(self) -> Mapping[str, Any]:
        return mapping(self.pod.get("spec"))

    @property
    def context(self) -> Mapping[str, Any]:
        return mapping(self.spec.get("securityContext"))

    @property
    def annotations(self) -> Mapping[str, Any]:
        return mapping(mapping(self.pod.get("metadata")).get("annotations"))

    @property
    def is_windows(self) -> bool:
        """Whether it says so: since 1.25 what Linux alone knows is not asked of it."""
        return self.version >= (1, 25) and mapping(self.spec.get("os")).get("name") == "windows"

    @property
    def has_own_users(self) -> bool:
        """Whether it is in a user namespace, where root is not the host's: since 1.35 some controls are looser then."""
        return self.version >= (1, 35) and self.spec.get("hostUsers") is False

    def containers(self) -> Iterator[Container]:
        """Init containers, containers, ephemeral containers."""
        for kind in ("initContainers", "containers", "ephemeralContainers"):
            for at, fields in enumerate(self.spec.get(kind) or ()):
                found = mapping(fields)
                context = mapping(found.get("securityContext"))
                yield Container(f"spec.{kind}[{at}]", str(found.get("name", "")), found, context)


@dataclass(frozen=True, slots=True)
class Control:
    """`check`: (reason, detail, places) of a pod that violates it, or None. `since`: the version that has it."""

    id: str
    level: Level
    check: Callable[[PodView], "Found | None"]
    since: Version = (1, 0)


Found = tuple[str, str, tuple[Place, ...]]


def mapping(value: Any) -> Mapping[str, Any]:
    """What is no object is an empty one: a spec comes from a file."""
    return value if isinstance(value, Mapping) else {}


def values(value: Any) -> list[Any]:
    """What is no list is an empty one."""
    return list(value) if isinstance(value, list | tuple) else []


def plural(word: str, count: int, many: str = "") -> str:
    return word if count == 1 else many or f"{word}s"


def quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def owners(places: Iterable[Place]) -> list[str]:
    """The containers' names, each once, in their order."""
    return list(dict.fromkeys(place.owner for place in places if not place.is_pod))


def distinct(places: Iterable[Place]) -> list[str]:
    """What they are set to, each once, sorted."""
    return sorted({place.value for place in places})


def containers_of(places: Iterable[Place]) -> str:
    """`container "a"`, `containers "a", "b"`."""
    names = owners(places)
    return f"{plural('container', len(names))} {quoted(names)}"


def setters(places: Iterable[Place]) -> str:
    """`pod`, `container "a"`, `pod and containers "a", "b"`."""
    found = list(places)
    said = ["pod"] if any(place.is_pod for place in found) else []
    return " and ".join([*said, *([containers_of(found)] if owners(found) else [])])
