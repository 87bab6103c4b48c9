"""Around every verb of the engine: how long it took, how it ended, and nothing but errors of the contract."""

import functools
import inspect
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from runtimes import errors
from runtimes.contract import LocalStreaming, RuntimeService
from runtimes.oci.images.intake import disk_fault

log = logging.getLogger(__name__)

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
    @functools.wraps(method)
    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        begin = time.perf_counter()
        ended = "cancelled"
        try:
            answer = await method(self, *args, **kwargs)
            ended = "done"
            return answer
        except errors.RuntimeFault as error:
            ended = f"{type(error).__name__}: {error}"
            raise
        except Exception as error:
            ended = f"{type(error).__name__}: {error}"
            raise _fault(verb, error) from error
        finally:
            if log.isEnabledFor(logging.DEBUG):
                log.debug("%s %s: %s after %.1f ms", verb, _subject(args), ended, (time.perf_counter() - begin) * 1000)

    return call


def _fault(verb: str, error: Exception) -> errors.RuntimeFault:
    """What is no error of the contract: the system's, or a mistake of ours, which is logged as one."""
    what = verb.replace("_", " ")
    match error:
        case TimeoutError():  # an OSError by its class only
            return errors.Timeout(f"{what}: {str(error) or 'no answer in time'}")
        case OSError():
            return disk_fault(error, what)
        case _:
            log.exception("%s failed", verb)
            return errors.Internal(f"{what}: {type(error).__name__}: {error}")


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
