"""Files of payload volumes that get in each other's way: two of one name, or one where another needs a folder."""

from typing import Any

Json = dict[str, Any]


def overlapping_paths(volumes: list[Json]) -> list[str]:
    """One warning for every pair of paths that collide in a volume."""
    found: list[str] = []
    for volume in volumes:
        name = volume.get("name") or ""
        for label, items in _mapped(volume):
            files = [(item.get("path") or "", "") for item in items]
            found += [f'volume "{name}" ({label}): overlapping paths: {pair}' for pair in _collisions(files)]
        if volume.get("projected") is not None:
            found += _projected(name, volume["projected"].get("sources") or [])
    return found


def _mapped(volume: Json) -> list[tuple[str, list[Json]]]:
    kinds = (
        ("configMap", f'ConfigMap "{(volume.get("configMap") or {}).get("name") or ""}"'),
        ("secret", f'Secret "{(volume.get("secret") or {}).get("secretName") or ""}"'),
        ("downwardAPI", "DownwardAPI"),
    )
    return [(label, (volume.get(kind) or {}).get("items") or []) for kind, label in kinds]


def _projected(name: str, sources: list[Json]) -> list[str]:
    found: list[str] = []
    files: list[tuple[str, str]] = []
    for source in sources:
        if not any(value is not None for value in source.values()):
            found.append(f'volume "{name}" (Projected) has no sources provided')
        files += _files(source)
    return found + [f'volume "{name}" (Projected): overlapping paths: {pair}' for pair in _collisions(files)]


def _files(source: Json) -> list[tuple[str, str]]:
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


def _collisions(files: list[tuple[str, str]]) -> list[str]:
    """Every path against those before it: `"b" (from) with "a" (from)`."""
    found: list[str] = []
    known: list[tuple[str, str]] = []
    for path, source in files:
        own = (path.rstrip("/"), source)
        found += [f"{_shown(own)} with {_shown(other)}" for other in known if _overlap(own[0], other[0])]
        known.append(own)
    return found


def _overlap(one: str, other: str) -> bool:
    if not one or not other:
        return False
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def _shown(file: tuple[str, str]) -> str:
    path, source = file
    return f'"{path}" ({source})' if source else f'"{path}"'
