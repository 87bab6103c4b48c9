"""Rows of nodes, namespaces, events, leases, runtime classes, priority classes and certificate requests."""

from datetime import datetime

from nodeagent.apiserver.registry.table import AGE, NAME, Cell, TableView, age, age_of, column, duration, name_of
from runtimes.kube.json_object import JsonObject

_ROLE_PREFIX = "node-role.kubernetes.io/"
_ROLE_LABEL = "kubernetes.io/role"


def _node(node: JsonObject, now: datetime) -> list[Cell]:
    status = node.get("status") or {}
    info = status.get("nodeInfo") or {}
    addresses = {a.get("type"): a.get("address") for a in reversed(status.get("addresses") or ())}
    return [
        name_of(node),
        _node_status(node),
        ",".join(_roles(node["metadata"].get("labels") or {})) or "<none>",
        age_of(node, now),
        info.get("kubeletVersion") or "",
        addresses.get("InternalIP") or "<none>",
        addresses.get("ExternalIP") or "<none>",
        info.get("osImage") or "<unknown>",
        info.get("kernelVersion") or "<unknown>",
        info.get("containerRuntimeVersion") or "<unknown>",
    ]


def _node_status(node: JsonObject) -> str:
    ready = next((c for c in (node.get("status") or {}).get("conditions") or () if c.get("type") == "Ready"), None)
    if ready is None or ready.get("status") == "Unknown":
        text = "Unknown" if ready is None else "NotReady"
    else:
        text = "Ready" if ready.get("status") == "True" else "NotReady"
    return text + ",SchedulingDisabled" if (node.get("spec") or {}).get("unschedulable") else text


def _roles(labels: dict[str, str]) -> list[str]:
    roles = {key.removeprefix(_ROLE_PREFIX) for key in labels if key.startswith(_ROLE_PREFIX)} - {""}
    if labels.get(_ROLE_LABEL):
        roles.add(labels[_ROLE_LABEL])
    return sorted(roles)


NODES = TableView(
    columns=(
        NAME,
        column("Status"),
        column("Roles"),
        AGE,
        column("Version"),
        column("Internal-IP", wide=True),
        column("External-IP", wide=True),
        column("OS-Image", wide=True),
        column("Kernel-Version", wide=True),
        column("Container-Runtime", wide=True),
    ),
    cells=_node,
)

NAMESPACES = TableView(
    columns=(NAME, column("Status"), AGE),
    cells=lambda obj, now: [name_of(obj), (obj.get("status") or {}).get("phase") or "", age_of(obj, now)],
)


def _event(event: JsonObject, now: datetime) -> list[Cell]:
    series, source = event.get("series") or {}, event.get("source") or {}
    first = event.get("firstTimestamp") or event.get("eventTime")
    last = series.get("lastObservedTime") or event.get("lastTimestamp") or first
    involved = event.get("involvedObject") or {}
    component = source.get("component") or event.get("reportingComponent") or ""
    host = source.get("host") or ""
    kind = str(involved.get("kind") or "").lower()
    return [
        age(last, now),
        event.get("type") or "",
        event.get("reason") or "",
        f"{kind}/{involved['name']}" if involved.get("name") else kind,
        involved.get("fieldPath") or "",
        f"{component}, {host}" if component and host else component or host,
        str(event.get("message") or "").strip(),
        age(first, now),
        max(int(series.get("count") or event.get("count") or 1), 1),
        name_of(event),
    ]


EVENTS = TableView(
    columns=(
        column("Last Seen"),
        column("Type"),
        column("Reason"),
        column("Object"),
        column("Subobject", wide=True),
        column("Source", wide=True),
        column("Message"),
        column("First Seen", wide=True),
        column("Count", wide=True),
        column("Name", wide=True),
    ),
    cells=_event,
)

LEASES = TableView(
    columns=(NAME, column("Holder"), AGE),
    cells=lambda obj, now: [
        name_of(obj),
        (obj.get("spec") or {}).get("holderIdentity") or "",
        age_of(obj, now),
    ],
)

RUNTIME_CLASSES = TableView(
    columns=(NAME, column("Handler"), AGE),
    cells=lambda obj, now: [name_of(obj), obj.get("handler") or "", age_of(obj, now)],
)

PRIORITY_CLASSES = TableView(
    columns=(NAME, column("Value"), column("Global-Default"), AGE, column("PreemptionPolicy")),
    cells=lambda obj, now: [
        name_of(obj),
        int(obj.get("value") or 0),
        "true" if obj.get("globalDefault") else "false",
        age_of(obj, now),
        obj.get("preemptionPolicy") or "",
    ],
)


def _disruption_budget(budget: JsonObject, now: datetime) -> list[Cell]:
    spec, status = budget.get("spec") or {}, budget.get("status") or {}
    wanted = [
        str(spec[field]) if spec.get(field) is not None else "N/A" for field in ("minAvailable", "maxUnavailable")
    ]
    return [name_of(budget), *wanted, int(status.get("disruptionsAllowed") or 0), age_of(budget, now)]


DISRUPTION_BUDGETS = TableView(
    columns=(NAME, column("Min Available"), column("Max Unavailable"), column("Allowed Disruptions"), AGE),
    cells=_disruption_budget,
)


def _csr(csr: JsonObject, now: datetime) -> list[Cell]:
    spec, status = csr.get("spec") or {}, csr.get("status") or {}
    seconds = spec.get("expirationSeconds")
    return [
        name_of(csr),
        age_of(csr, now),
        spec.get("signerName") or "<none>",
        spec.get("username") or "",
        duration(int(seconds)) if seconds else "<none>",
        _csr_condition(status),
    ]


def _csr_condition(status: JsonObject) -> str:
    present = {c.get("type") for c in status.get("conditions") or ()}
    found = [name for name in ("Denied", "Approved", "Failed") if name in present][:1] or ["Pending"]
    if "Failed" in present and "Failed" not in found:
        found.append("Failed")
    if status.get("certificate"):
        found.append("Issued")
    return ",".join(found)


CERTIFICATE_REQUESTS = TableView(
    columns=(
        NAME,
        AGE,
        column("SignerName"),
        column("Requestor"),
        column("RequestedDuration"),
        column("Condition"),
    ),
    cells=_csr,
)
