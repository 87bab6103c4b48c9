"""`nodeagent status`: the node and its pods, as the API knows them, and the parts of its agent, as it reports them itself."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from lightkube.models.core_v1 import Node, Pod

from nodeagent.api.client import ApiClient
from nodeagent.api.errors import ApiError
from nodeagent.api.kubeconfig import Connection, KubeconfigError, load
from nodeagent.cli.activity import ActivityUnknown, cells, read_activities
from nodeagent.cli.output import Output, human_age, print_error, print_json, print_table
from nodeagent.cli.part_row import PartRow, PartsUnknown, in_order, read_parts
from nodeagent.cli.pod_row import PodRow, pod_row
from nodeagent.server.debug_pods import Activity

_DEADLINE_SECONDS = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """One node. `message`: what it says about being Ready or not."""

    name: str
    ready: bool
    message: str
    address: str
    version: str
    runtimes: tuple[str, ...]
    age: str

    @property
    def status(self) -> str:
        return "Ready" if self.ready else f"NotReady ({self.message})"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """`parts`, `activities`: of the one node there is, or that was named; else none. `…_unknown`: why there are none of it."""

    nodes: Sequence[Node]
    pods: Sequence[Pod]
    parts: Sequence[PartRow] = ()
    parts_unknown: str = ""
    activities: Sequence[Activity] = ()
    activities_unknown: str = ""


def run(kubeconfig: Path, node_name: str, output: Output, *, verbose: bool = False) -> int:
    """0: every node shown is Ready. 1: one is not, or the API gave no answer. `verbose`: also what is done for each pod."""
    if not kubeconfig.exists():
        print_error(f"{kubeconfig} does not exist; an agent in standalone mode writes it, else give --kubeconfig")
        return 1
    try:
        connection = load(kubeconfig)
        found = asyncio.run(_read(connection, node_name, verbose=verbose))
    except (KubeconfigError, OSError) as error:
        print_error(str(error))
        return 1
    except ApiError as error:
        print_error(f"the API at {connection.server} says: {error.message}")
        return 1
    now = datetime.now(UTC)
    nodes = [node_row(node, now) for node in found.nodes]
    pods = [pod_row(pod, now) for pod in sorted(found.pods, key=_place)]
    parts = in_order(found.parts)
    if output is Output.JSON:
        document: dict[str, object] = {"nodes": [asdict(row) for row in nodes], "pods": [asdict(row) for row in pods]}
        document["parts"] = msgspec.to_builtins(parts)
        if verbose:
            document["activities"] = msgspec.to_builtins(found.activities)
        unknown = {"parts_unknown": found.parts_unknown, "activities_unknown": found.activities_unknown}
        print_json(document | {key: why for key, why in unknown.items() if why})
    else:
        _print_nodes(nodes)
        print()
        _print_pods(pods)
        _print_activities(found.activities, found.activities_unknown, now)
        _print_parts(parts, found.parts_unknown, now)
    return 0 if nodes and all(row.ready for row in nodes) else 1


async def _read(connection: Connection, node_name: str, *, verbose: bool) -> _Found:
    async with ApiClient(connection, timeout_seconds=_DEADLINE_SECONDS) as client:
        if node_name:
            nodes = [await client.get(Node, node_name)]
        else:
            nodes = (await client.list(Node)).items
        selector = f"spec.nodeName={node_name}" if node_name else ""
        pods = (await client.list(Pod, field_selector=selector)).items
        if len(nodes) != 1:
            return _Found(nodes=nodes, pods=pods)
        metadata = nodes[0].metadata
        found = _Found(nodes=nodes, pods=pods)
        return await _ask_agent(client, (metadata.name if metadata is not None else None) or "", found, verbose)


async def _ask_agent(client: ApiClient, node_name: str, found: _Found, verbose: bool) -> _Found:
    """`found`, with what the node's agent reports."""
    try:
        found = replace(found, parts=await read_parts(client, node_name))
    except PartsUnknown as unknown:
        found = replace(found, parts_unknown=str(unknown))
    if verbose:
        try:
            found = replace(found, activities=await read_activities(client, node_name))
        except ActivityUnknown as unknown:
            found = replace(found, activities_unknown=str(unknown))
    return found


def _print_nodes(nodes: Sequence[NodeRow]) -> None:
    cells = [
        [row.name, row.status, row.address, row.version, ",".join(row.runtimes) or "<none>", row.age] for row in nodes
    ]
    print_table(("NODE", "STATUS", "ADDRESS", "VERSION", "RUNTIMES", "AGE"), cells)


def _print_pods(pods: Sequence[PodRow]) -> None:
    cells = [[row.namespace, row.name, row.ready, row.status, str(row.restarts), row.ip, row.age] for row in pods]
    columns = ("NAMESPACE", "POD", "READY", "STATUS", "RESTARTS", "IP", "AGE")
    print_table(columns, cells, styles=[_style(row.status) for row in pods])


def _print_activities(activities: Sequence[Activity], unknown: str, now: datetime) -> None:
    if activities:
        print()
        print_table(("NAMESPACE", "POD", "STAGE", "RUNTIME", "DOING"), [cells(each, now) for each in activities])
    elif unknown:
        print(f"\nWhat its agent is doing is not known: {unknown}")


def _print_parts(parts: Sequence[PartRow], unknown: str, now: datetime) -> None:
    if parts:
        print()
        columns = ("PART", "STATE", "SINCE", "REASON")
        print_table(columns, [part.cells(now) for part in parts], styles=[part.style for part in parts])
    elif unknown:
        print(f"\nThe parts of its agent are not known: {unknown}")


def _style(status: str) -> str:
    if status in ("Running", "Completed", "Succeeded"):
        return "green"
    return "yellow" if status in ("Pending", "ContainerCreating", "PodInitializing", "Terminating") else "red"


def node_row(node: Node, now: datetime) -> NodeRow:
    assert node.metadata is not None
    status = node.status
    addresses = (status.addresses if status else None) or []
    condition = next((item for item in (status.conditions if status else None) or [] if item.type == "Ready"), None)
    info = status.nodeInfo if status else None
    created = node.metadata.creationTimestamp
    return NodeRow(
        name=node.metadata.name or "",
        ready=condition is not None and condition.status == "True",
        message=(condition.message or "") if condition else "no status yet",
        address=next((item.address for item in addresses if item.type == "InternalIP"), ""),
        version=info.kubeletVersion if info else "",
        runtimes=tuple(sorted(item.name for item in (status.runtimeHandlers if status else None) or [] if item.name)),
        age=human_age((now - created).total_seconds()) if created else "",
    )


def _place(pod: Pod) -> tuple[str, str]:
    assert pod.metadata is not None
    return pod.metadata.namespace or "", pod.metadata.name or ""
