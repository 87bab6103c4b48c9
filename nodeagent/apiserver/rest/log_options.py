"""The query of pods/NAME/log, and what the node says when it has no log to give."""

import contextlib

import msgspec

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.registry.table import parse_time
from nodeagent.apiserver.rest.request import Request
from runtimes.kube.field_errors import FieldError, forbidden, invalid
from runtimes.kube.json_errors import UNREADABLE

_TRUE = frozenset({"true", "1"})
_FLAGS = ("follow", "previous", "timestamps")
_VALUES = ("sinceSeconds", "sinceTime", "tailLines", "limitBytes", "stream")


def log_query(request: Request) -> list[tuple[str, str]]:
    """The node's form of the query. Raises `ApiError` 422."""
    errors: list[FieldError] = []
    for name, least, text in (
        ("tailLines", 0, "must be greater than or equal to 0"),
        ("limitBytes", 1, "must be greater than 0"),
        ("sinceSeconds", 1, "must be greater than 0"),
    ):
        stated = request.last(name)
        if not stated:
            continue
        try:
            number = int(stated)
        except ValueError:
            raise ApiError.bad_request(f'{name}: strconv.ParseInt: parsing "{stated}": invalid syntax') from None
        if number < least:
            errors.append(invalid(name, number, text))
    if request.last("sinceTime"):
        if request.last("sinceSeconds"):
            errors.append(forbidden("sinceSeconds", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
        if parse_time(request.last("sinceTime")) is None:
            raise ApiError.bad_request(f'sinceTime: parsing time "{request.last("sinceTime")}"')
    if errors:
        raise ApiError.invalid("PodLogOptions", "", request.target.name, errors)
    query = [(name, "true") for name in _FLAGS if request.last(name) in _TRUE]
    return query + [(name, request.last(name)) for name in _VALUES if request.last(name)]


def log_error(status: int, body: bytes) -> ApiError:
    """A refusal of the node as the client is to see it."""
    text = body.decode(errors="replace").strip()
    # not a Status: then the text itself is the message
    with contextlib.suppress(KeyError, TypeError, *UNREADABLE):
        text = str(msgspec.json.decode(body)["message"])
    if status == 400:
        return ApiError.bad_request(text)
    if status == 404:
        return ApiError(404, "NotFound", f"the server could not find the requested resource: {text}", details={})
    if status == 500:
        return ApiError.internal(text)
    return ApiError(status, "", f"an error on the node ({status}) prevented the request: {text}")
