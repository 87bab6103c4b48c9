"""What a URL asks for."""

from dataclasses import dataclass
from urllib.parse import unquote

_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})
_VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A resource path taken apart. `rest` is what follows the subresource (the path of a proxy), with its slash."""

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""

    def verb(self, method: str, *, watch: bool = False) -> str:
        """The verb of the authorizer, "" for a method that no resource has."""
        verb = _VERBS.get(method, "")
        if verb == "get" and not self.name:
            return "watch" if watch else "list"
        if verb == "get" and watch and not self.subresource:
            return "watch"
        return "deletecollection" if verb == "delete" and not self.name else verb


def parse(raw_path: str) -> Target | None:
    """The target of `/api/v1/…` or `/apis/GROUP/VERSION/…` with at least a resource; None for any other path."""
    parts = [unquote(part) for part in raw_path.strip("/").split("/")]
    if parts[0] == "api" and len(parts) >= 3:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) >= 4:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    if not all(rest[:3]) or not all(parts[:3]):
        # an empty segment would turn one namespace into all of them
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) >= 3 and (len(rest) > 3 or rest[2] not in _NAMESPACE_SUBRESOURCES):
        namespace, rest = rest[1], rest[2:]
        if not all(rest[:3]):
            return None
    tail = "/" + "/".join(rest[3:]) if len(rest) > 3 else ""
    name, subresource = (rest[1] if len(rest) > 1 else ""), (rest[2] if len(rest) > 2 else "")
    return Target(
        group=group,
        version=version,
        plural=rest[0],
        namespace=namespace,
        name=name,
        subresource=subresource,
        rest=tail,
    )
