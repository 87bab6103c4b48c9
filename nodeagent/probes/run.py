"""From a probe's specification to one run of it. Source: docs/facts/pod-lifecycle.md 7.1 and 7.3."""

from dataclasses import dataclass

from lightkube.models.core_v1 import Container, HTTPGetAction, Probe

from nodeagent.podspec.expansion import TooLarge
from nodeagent.podspec.port_names import InvalidPort, resolve_port
from nodeagent.probes.exec import expand_command, probe_exec
from nodeagent.probes.http import probe_http
from nodeagent.probes.http_request import HTTPTarget
from nodeagent.probes.outcome import Outcome, ProbeError, failure
from nodeagent.probes.tcp import probe_tcp
from runtimes.contract import RuntimeService


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeTarget:
    """One running container, as a probe reaches it. `pod_ip`: empty while the pod has none."""

    container: Container
    container_id: str
    pod_ip: str
    runtime: RuntimeService


async def run_probe(probe: Probe, target: ProbeTarget) -> Outcome:
    """Run the probe once. Raises ProbeError."""
    timeout_seconds = probe.timeoutSeconds or 1
    if probe.exec is not None:
        try:
            command = expand_command(probe.exec.command or [], target.container.env)
        except TooLarge as error:
            return failure(f"the command is {error}")
        return await probe_exec(target.runtime, target.container_id, command, timeout_seconds=timeout_seconds)
    if probe.httpGet is not None:
        return await probe_http(_http_target(probe.httpGet, target), timeout_seconds=timeout_seconds)
    if probe.tcpSocket is not None:
        port = _port(probe.tcpSocket.port, target)
        return await probe_tcp(probe.tcpSocket.host or target.pod_ip, port, timeout_seconds=timeout_seconds)
    if probe.grpc is not None:
        from nodeagent.probes.grpc import probe_grpc  # the library is 9 MB, and few pods have such a probe

        service = probe.grpc.service or ""
        return await probe_grpc(target.pod_ip, probe.grpc.port, service, timeout_seconds=timeout_seconds)
    raise ProbeError(f"missing probe handler for {target.container.name}")


def _port(port: int | str, target: ProbeTarget) -> int:
    try:
        return resolve_port(port, target.container)
    except InvalidPort as error:
        raise ProbeError(str(error)) from error


def _http_target(action: HTTPGetAction, target: ProbeTarget) -> HTTPTarget:
    return HTTPTarget(
        host=action.host or target.pod_ip,
        port=_port(action.port, target),
        path=action.path or "",
        scheme=(action.scheme or "HTTP").lower(),
        headers=[(header.name, header.value or "") for header in action.httpHeaders or ()],
    )
