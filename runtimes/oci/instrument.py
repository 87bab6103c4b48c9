"""Around every verb of the engine: how long it took and how it ended, in the log, and a disk's errors as the contract's.

A bug passes as it is: `runtimes.boundary`, behind which every runtime is handed out, answers for it.
"""

import functools
import inspect
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from runtimes.contract import LocalStreaming, RuntimeService
from runtimes.oci.disk_errors import disk_errors

log = logging.getLogger(__name__)

# what the operator reads when the disk refuses; other verbs go by their names
_WORDS = {
    "run_pod_sandbox": "cannot make the sandbox",
    "create_container": "cannot make the container",
    "start_container": "cannot start the container",
}
_Engine = TypeVar("_Engine", bound=type)
_VERBS = tuple(
    name
    for contract in (RuntimeService, LocalStreaming)
    for name, member in vars(contract).items()
    if inspect.iscoroutinefunction(member)
)


def instrumented(engine: _Engine) -> _Engine:
    """A class decorator: wraps each verb of the contract that the class has."""
    for verb in _VERBS:
        if (method := getattr(engine, verb, None)) is not None:
            setattr(engine, verb, _wrapped(verb, method))
    return engine


def _wrapped(verb: str, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    what = _WORDS.get(verb, verb.replace("_", " "))

    @functools.wraps(method)
    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        begin = time.perf_counter()
        outcome = "done"
        try:
            with disk_errors(what):
                return await method(self, *args, **kwargs)
        except BaseException as error:
            outcome = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise
        finally:
            if log.isEnabledFor(logging.DEBUG):
                milliseconds = (time.perf_counter() - begin) * 1000
                log.debug("%s %s: %s after %.1f ms", verb, _subject(args), outcome, milliseconds)

    return call


def _subject(args: tuple[Any, ...]) -> str:
    """Of which container, sandbox or pod a request is; empty for one that is of all."""
    if not args:
        return ""
    request = args[0]
    if isinstance(request, str):
        return request
    for field in ("container_id", "pod_sandbox_id"):
        if found := getattr(request, field, ""):
            return str(found)
    metadata = getattr(getattr(request, "config", None), "metadata", None)
    return str(getattr(metadata, "name", ""))
