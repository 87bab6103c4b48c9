"""Files of payload volumes that get in each other's way: two of one name, or one where another needs a folder.

Warnings come one by one, as pairs may be far more than anybody reads; to find the next one costs no more than the paths are long.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from runtimes.kube.json_object import JsonObject


def overlapping_paths(volumes: list[JsonObject]) -> Iterator[str]:
    """One warning for every pair of paths that collide in a volume."""
    for volume in volumes:
        name = volume.get("name") or ""
        for label, items in _mapped(volume):
            files = [(item.get("path") or "", "") for item in items]
            yield from (f'volume "{name}" ({label}): overlapping paths: {pair}' for pair in _collisions(files))
        if volume.get("projected") is not None:
            yield from _projected(name, volume["projected"].get("sources") or [])


def _mapped(volume: JsonObject) -> list[tuple[str, list[JsonObject]]]:
    kinds = (
        ("configMap", f'ConfigMap "{(volume.get("configMap") or {}).get("name") or ""}"'),
        ("secret", f'Secret "{(volume.get("secret") or {}).get("secretName") or ""}"'),
        ("downwardAPI", "DownwardAPI"),
    )
    return [(label, (volume.get(kind) or {}).get("items") or []) for kind, label in kinds]


def _projected(name: str, sources: list[JsonObject]) -> Iterator[str]:
    for source in sources:
        if not any(value is not None for value in source.values()):
            yield f'volume "{name}" (Projected) has no sources provided'
    files = [file for source in sources for file in _files(source)]
    yield from (f'volume "{name}" (Projected): overlapping paths: {pair}' for pair in _collisions(files))


def _files(source: JsonObject) -> list[tuple[str, str]]:
    """(path, what it comes from) of one source of a projected volume."""
    for kind, label in (("configMap", "ConfigMap"), ("secret", "Secret")):
        if source.get(kind) is not None:
            text = f'{label} "{source[kind].get("name") or ""}"'
            return [(item.get("path") or "", text) for item in source[kind].get("items") or ()]
    if source.get("downwardAPI") is not None:
        return [(item.get("path") or "", "DownwardAPI") for item in source["downwardAPI"].get("items") or ()]
    if source.get("serviceAccountToken") is not None:
        return [(source["serviceAccountToken"].get("path") or "", "ServiceAccountToken")]
    if source.get("clusterTrustBundle") is not None:
        bundle = source["clusterTrustBundle"]
        return [
            (bundle.get("path") or "", f'ClusterTrustBundle "{bundle.get("name") or bundle.get("signerName") or ""}"')
        ]
    return []


@dataclass(slots=True)
class _Folder:
    """A part of a path. Numbers of files: those that end here, and those that go on below."""

    ends: list[int] = field(default_factory=list)
    below: list[int] = field(default_factory=list)
    inner: dict[str, "_Folder"] = field(default_factory=dict)


def _collisions(files: list[tuple[str, str]]) -> Iterator[str]:
    """Every path against those before it: `"b" (from) with "a" (from)`."""
    top = _Folder()
    for number, (path, source) in enumerate(files):
        own = path.rstrip("/")
        if not own:
            continue
        folder, others = top, []
        for part in own.split("/"):
            others += folder.ends
            folder.below.append(number)
            folder = folder.inner.setdefault(part, _Folder())
        for other in sorted([*others, *folder.ends, *folder.below]):
            yield f"{_shown((own, source))} with {_shown((files[other][0].rstrip('/'), files[other][1]))}"
        folder.ends.append(number)


def _shown(file: tuple[str, str]) -> str:
    path, source = file
    return f'"{path}" ({source})' if source else f'"{path}"'
