"""What /statusz and /flagz have in common with those of a cluster's other components (component-base, zpages).

Text for people, or a JSON document of `config.k8s.io/v1alpha1` for who asks for just that.
"""

from aiohttp import web

COMPONENT = "nodeagent"
WARNING = (
    "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is for "
    "debugging purposes only."
)
_PLAIN = ("", "*/*", "text/*", "text/plain")


def structured(kind: str) -> str:
    """The media type of the document of a kind (Statusz, Flagz)."""
    return f"application/json;v=v1alpha1;g=config.k8s.io;as={kind}"


def wanted(accept: str, kind: str) -> str:
    """ "text", "json", or empty: nothing of what the client accepts can be had."""
    parameters = set(structured(kind).split(";")[1:])
    for each in accept.split(","):
        media, *found = (part.strip() for part in each.split(";"))
        given = {part for part in found if not part.startswith("q=")}
        if media in _PLAIN and not given:
            return "text"
        if media == "application/json" and given == parameters:
            return "json"
    return ""


def head(kind: str) -> dict[str, object]:
    """The beginning of a document."""
    return {"kind": kind, "apiVersion": "config.k8s.io/v1alpha1", "metadata": {"name": COMPONENT}}


def not_acceptable() -> web.Response:
    return web.Response(status=406, text="unsupported media type\n")
