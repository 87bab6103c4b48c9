"""Messages of peers: a CRI runtime, an API server, plugins and programs that are asked for something, probed pods."""

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
from agent_pods import agent_pod
from google.protobuf.message import DecodeError
from hypothesis import strategies as st
from lightkube.models.core_v1 import Pod

from nodeagent.api import errors as api_errors
from nodeagent.api import exec_plugin, kubeconfig, wire
from nodeagent.images.keyring import InvalidCredentials, parse_docker_config
from nodeagent.pods.rules.model import Desired, Instance, Memory, NodeAddresses, Observed
from nodeagent.pods.rules.plan import make_plan
from nodeagent.pods.status.pod import pod_status
from nodeagent.pods.translation.termination_message import termination_message
from nodeagent.podspec.pod import AgentPod
from nodeagent.probes.http_response import ResponseError, ResponseReader
from nodeagent.server.process import decode_size
from nodeagent.stats.node import Filesystem
from nodeagent.stats.pods import _pod
from nodeagent.stats.summary import _pod as summarized
from proto import containerd_events_pb2 as containerd
from proto import cri_pb2 as cri
from proto.health_pb2 import HealthCheckResponse
from runtimes.cri import containerd_events
from runtimes.cri.listing import Listing
from runtimes.linux.process import Completed
from runtimes.oci.conmon import ContainerRefused, _container_pid
from runtimes.oci.program import runtime_message
from tests.fuzz import scratch
from tests.fuzz.api_under_test import POD
from tests.fuzz.contract import Errors, Target
from tests.fuzz.grammar import lines, near, packed, sentences

_NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_DISK = Filesystem(available_bytes=1, capacity_bytes=1, used_bytes=0, inodes_free=1, inodes=1)


def _wanted() -> AgentPod:
    pod = {**POD, "metadata": {**POD["metadata"], "uid": "u"}, "status": {"qosClass": "Burstable", "phase": "Pending"}}  # type: ignore[dict-item]
    return agent_pod(pod)


def _statuses(data: bytes) -> None:
    """What a runtime says of a pod: a sandbox's status or a container's, in the same bytes."""
    sandbox, container = cri.PodSandboxStatusResponse(), cri.ContainerStatusResponse()
    sandbox.ParseFromString(data)
    container.ParseFromString(data)
    if not container.status.metadata.name:
        container.status.metadata.name = "c"
    observed = Observed(
        sandboxes=(sandbox.status,), instances=(Instance(sandbox_id=sandbox.status.id, status=container.status),)
    )
    desired = Desired(pod=_wanted())
    make_plan(desired, observed, Memory(), _NOW)
    made = pod_status(desired, observed, Memory(), None, NodeAddresses(host_ips=("10.0.0.1",)), _NOW)
    wire.encode(made)
    make_plan(desired, observed, Memory(), _NOW)


def _lists(data: bytes) -> None:
    sandboxes, containers = cri.ListPodSandboxResponse(), cri.ListContainersResponse()
    sandboxes.ParseFromString(data)
    containers.ParseFromString(data)
    after = Listing(sandboxes.items, containers.containers)
    list(Listing().changes_to(after))
    list(after.changes_to(Listing()))
    events, stats = containerd.Envelope(), cri.ListPodSandboxStatsResponse()
    events.ParseFromString(data)
    containerd_events.read(events)
    stats.ParseFromString(data)
    for item in stats.stats:
        figures = _pod(item, 1, {c.attributes.id: cri.Container(id=c.attributes.id) for c in item.linux.containers})
        msgspec.json.encode(summarized(figures, _DISK, small=False))


def _messages() -> st.SearchStrategy[bytes]:
    whole = cri.ContainerStatusResponse(
        status=cri.ContainerStatus(
            id="c1",
            metadata=cri.ContainerMetadata(name="c", attempt=3),
            state=cri.CONTAINER_EXITED,
            created_at=1,
            started_at=2,
            finished_at=2**62,
            exit_code=-1,
            image=cri.ImageSpec(image="a"),
            image_ref="b",
            reason="Error",
            labels={"a": "b"},
            annotations={"io.kubernetes.container.hash": "1", "io.kubernetes.container.restartCount": "9" * 40},
        )
    )
    sandbox = cri.PodSandboxStatusResponse(
        status=cri.PodSandboxStatus(
            id="s1",
            metadata=cri.PodSandboxMetadata(name="p", uid="u", namespace="default", attempt=1),
            state=cri.SANDBOX_READY,
            created_at=-(2**63),
            network=cri.PodSandboxNetworkStatus(ip="10.1.0.5", additional_ips=[cri.PodIP(ip="x")]),
        )
    )
    stats = cri.ListPodSandboxStatsResponse(
        stats=[
            cri.PodSandboxStats(
                attributes=cri.PodSandboxAttributes(id="s1"),
                linux=cri.LinuxPodSandboxStats(
                    cpu=cri.CpuUsage(timestamp=2**62, usage_core_nano_seconds=cri.UInt64Value(value=2**64 - 1)),
                    containers=[cri.ContainerStats(attributes=cri.ContainerAttributes(id="c1"))],
                ),
            )
        ]
    )
    samples = [message.SerializeToString() for message in (whole, sandbox, stats)]
    numbers = st.sampled_from(
        [b"\x08\x01", b"\x20\xff\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x28\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"]
    )
    return packed(st.sampled_from(samples), numbers, st.binary(max_size=12))


_EVENT: Any = {"type": "MODIFIED", "object": POD}
_LIST: Any = {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": [POD]}
_STATUS: Any = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "old"}}


def _api(data: bytes) -> None:
    for read in (wire.decode_event, wire.decode_list, wire.decode):
        try:
            read(Pod, data)
        except api_errors.ApiError:
            continue


def _error(data: bytes) -> None:
    str(api_errors.from_response(500, data))


_KUBECONFIG: Any = {
    "kind": "Config",
    "current-context": "c",
    "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
    "clusters": [{"name": "k", "cluster": {"server": "https://h:6443", "certificate-authority-data": "YQ=="}}],
    "users": [{"name": "u", "user": {"token": "t", "client-certificate-data": "YQ==", "client-key-data": "YQ=="}}],
}
_LOGINS: Any = {"auths": {"https://reg.io/v1/": {"auth": "dTpw"}, "x": {"username": "u", "password": "p"}}}
_CREDENTIAL: Any = {
    "kind": "ExecCredential",
    "apiVersion": "client.authentication.k8s.io/v1",
    "status": {"token": "t", "expirationTimestamp": "2026-01-02T03:04:05Z"},
}


def _said(data: bytes) -> None:
    runtime_message(data.decode(errors="replace"))
    decode_size(data)
    _container_pid(data, Completed(argv=("x",), returncode=0, stdout=b"", stderr=data))


def _probed(data: bytes) -> None:
    """In pieces of every size: whole, and byte by byte."""
    for size in (len(data) or 1, 7, 1):
        reader = ResponseReader(max_body_bytes=10 * 1024)
        with contextlib.suppress(ResponseError):
            for at in range(0, len(data), size):
                if reader.feed(data[at : at + size]) is not None:
                    break
            else:
                reader.end()


_HTTP = (
    "HTTP/1.1 200 OK\r\n",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "\r\n",
    "5\r\nhello\r\n",
    "-6\r\n",
    "0\r\n\r\n",
    "1;" + "x" * 3000,
    "1_0\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "Location: http://a/\r\n",
    "9" * 5000,
)


def _message(data: bytes) -> None:
    path = scratch.file("message", data)
    annotations = {
        "io.kubernetes.container.terminationMessagePath": "/m",
        "io.kubernetes.container.terminationMessagePolicy": "FallbackToLogsOnError",
    }
    mounts = [cri.Mount(container_path="/m", host_path=str(path))]
    found = cri.ContainerStatus(annotations=annotations, mounts=mounts, log_path=str(path), exit_code=1)
    termination_message(found)


def _target(name: str, run: Callable[[bytes], object], allowed: Errors, *documents: Any) -> Target:
    return Target(name=name, run=run, allowed=allowed, inputs=near(*documents))


TARGETS = (
    Target(
        name="cri-status", run=_statuses, allowed=(DecodeError,), inputs=_messages(), words=(b"\xff" * 9 + b"\x01",)
    ),
    Target(name="cri-lists", run=_lists, allowed=(DecodeError,), inputs=_messages()),
    _target("api-answer", _api, (), _EVENT, _LIST, _STATUS, POD),
    _target(
        "kubeconfig",
        lambda data: kubeconfig.load(scratch.file("kubeconfig", data)),
        (kubeconfig.KubeconfigError,),
        _KUBECONFIG,
    ),
    _target(
        "exec-plugin",
        lambda data: exec_plugin._parse(data, "client.authentication.k8s.io/v1"),
        (exec_plugin.CredentialsError,),
        _CREDENTIAL,
    ),
    _target("docker-config", lambda data: parse_docker_config(data, auths_inside=True), (InvalidCredentials,), _LOGINS),
    _target(
        "runtime-words",
        _said,
        (ContainerRefused,),
        {"level": "error", "msg": "x"},
        {"pid": 5, "message": "y"},
        {"Width": 1, "Height": 2},
    ),
    Target(
        name="grpc-answer",
        run=HealthCheckResponse.FromString,
        allowed=(DecodeError,),
        inputs=packed(st.sampled_from([b"\x08\x01", b"\x08\x02"]), st.binary(max_size=8)),
    ),
    Target(name="probe-answer", run=_probed, inputs=sentences(_HTTP), words=tuple(word.encode() for word in _HTTP)),
    Target(
        name="termination-message",
        run=_message,
        inputs=lines(
            ("2026-01-02T03:04:05.000000001Z", " stdout ", " stderr ", "F ", "P ", "x" * 5000),
            ("2026-01-02T03:04:05Z stdout F a",),
        ),
    ),
)
