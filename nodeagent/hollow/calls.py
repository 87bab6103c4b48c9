"""Requests to the API, counted by what they are: `patch pods/status`, `watch services`."""

from collections import Counter
from urllib.parse import parse_qs, urlsplit

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_NOT_FOUND, _FIRST_ERROR = 404, 400


def name_of(method: str, path: str) -> str:
    """The API's verb and the resource of a request, with its subresource."""
    parts = urlsplit(path)
    words = parts.path.strip("/").split("/")
    rest = words[2:] if words[0] == "api" else words[3:]  # api/v1/…, apis/GROUP/VERSION/…
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        rest = rest[2:]
    if not rest:
        return f"{_VERBS.get(method, 'get')} {parts.path}"
    resource, named = rest[0], len(rest) > 1
    verb = _VERBS.get(method) or ("get" if named else "watch" if "watch" in parse_qs(parts.query) else "list")
    if verb == "delete" and not named:
        verb = "deletecollection"
    return f"{verb} {'/'.join([resource, *rest[2:3]])}"


class ApiCalls:
    """Of all nodes. `failed`: answers that are errors, 404 apart, which is often what was hoped for; and no answer."""

    def __init__(self) -> None:
        self.by_name: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()

    def heard(self, method: str, path: str, code: int) -> None:
        name = name_of(method, path)
        self.by_name[name] += 1
        if code == 0 or (code >= _FIRST_ERROR and code != _NOT_FOUND):
            self.failed[f"{name} {code or 'no answer'}"] += 1
