"""Probes, lifecycle hooks and their handlers."""

import re

from nodeagent.podspec.validation.rules import needed, not_negative, port_or_name, problems
from runtimes.kube.field_errors import FieldError, forbidden, invalid, not_supported, required
from runtimes.kube.json_object import JsonObject

PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_NUMBERS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
_HEADER = re.compile("[-A-Za-z0-9]+")
_HEADER_TEXT = (
    "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for "
    "validation is '[-A-Za-z0-9]+')"
)


def probes(path: str, container: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    for name in PROBES:
        probe = container.get(name)
        if probe is not None:
            errors += _probe(f"{path}.{name}", probe, readiness=name == "readinessProbe")
    return errors


def lifecycle(path: str, hooks: JsonObject, grace_seconds: int) -> list[FieldError]:
    errors: list[FieldError] = []
    for name in ("postStart", "preStop"):
        if hooks.get(name) is not None:
            errors += _handler(f"{path}.{name}", hooks[name], ("exec", "httpGet", "tcpSocket", "sleep"), grace_seconds)
    return errors


def _probe(path: str, probe: JsonObject, *, readiness: bool) -> list[FieldError]:
    errors = _handler(path, probe, ("exec", "httpGet", "tcpSocket", "grpc"), 0)
    for name in _NUMBERS:
        errors += not_negative(f"{path}.{name}", probe.get(name))
    grace = probe.get("terminationGracePeriodSeconds")
    if readiness:
        if grace is not None:
            where = f"{path}.terminationGracePeriodSeconds"
            errors.append(invalid(where, grace, "must not be set for readinessProbes"))
        return errors
    if probe.get("successThreshold", 1) != 1:
        errors.append(invalid(f"{path}.successThreshold", probe["successThreshold"], "must be 1"))
    if grace is not None and grace <= 0:
        errors.append(invalid(f"{path}.terminationGracePeriodSeconds", grace, "must be greater than 0"))
    return errors


def _handler(path: str, handler: JsonObject, allowed: tuple[str, ...], grace_seconds: int) -> list[FieldError]:
    given = [name for name in _HANDLERS if name in allowed and handler.get(name) is not None]
    if not given:
        return [required(path, "must specify a handler type")]
    errors: list[FieldError] = [
        forbidden(f"{path}.{name}", "may not specify more than 1 handler type") for name in given[1:]
    ]
    name = given[0]
    where, action = f"{path}.{name}", handler[name]
    if name == "exec":
        errors += needed(f"{where}.command", action.get("command"))
    elif name == "httpGet":
        errors += _http_get(where, action)
    elif name in ("tcpSocket", "grpc"):
        errors += port_or_name(f"{where}.port", action.get("port"))
    else:
        seconds = action.get("seconds") or 0
        if not 0 <= seconds <= grace_seconds:
            text = f"must be non-negative and less than terminationGracePeriodSeconds ({grace_seconds})"
            errors.append(invalid(where, seconds, text))
    return errors


def _http_get(path: str, action: JsonObject) -> list[FieldError]:
    errors = needed(f"{path}.path", action.get("path"))
    errors += port_or_name(f"{path}.port", action.get("port"))
    if action.get("scheme") not in ("HTTP", "HTTPS"):
        errors.append(not_supported(f"{path}.scheme", action.get("scheme"), ("HTTP", "HTTPS")))
    for index, header in enumerate(action.get("httpHeaders") or ()):
        name = header.get("name") or ""
        where = f"{path}.httpHeaders[{index}].name"
        errors += problems(where, name, [] if _HEADER.fullmatch(name) else [_HEADER_TEXT])
    return errors


def stop_signal(path: str, hooks: JsonObject, spec: JsonObject) -> list[FieldError]:
    """lifecycle.stopSignal needs to know the operating system."""
    signal = hooks.get("stopSignal")
    if signal is None:
        return []
    where = f"{path}.stopSignal"
    if not (spec.get("os") or {}).get("name"):
        return [forbidden(where, "may not be set for containers with empty `spec.os.name`")]
    return [] if signal in SIGNALS else [not_supported(where, signal, sorted(SIGNALS))]


_PLAIN_SIGNALS = (
    *("ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE", "POLL"),
    *("PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1"),
    *("USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX"),
)
SIGNALS = frozenset(
    [
        *(f"SIG{name}" for name in _PLAIN_SIGNALS),
        *(f"SIGRTMIN+{number}" for number in range(1, 16)),
        *(f"SIGRTMAX-{number}" for number in range(1, 15)),
    ]
)
