"""Which devices of a node's ResourceSlices the claims of a pod are given: pure, by search, the first that fits.

Not given to anybody, because this scheduler does not keep their accounts: devices that draw on shared counters, and those that
are bound under conditions. A device that allows several allocations is given once.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from lightkube.models.core_v1 import NodeSelector, Taint, Toleration

from nodeagent.apiserver.kinds.scheduling.device_selectors import attribute, selects
from nodeagent.podspec.node_affinity import selects_node
from nodeagent.podspec.taints import untolerated
from runtimes.kube import quantity
from runtimes.kube.json_object import JsonObject

CANNOT_ALLOCATE = "cannot allocate all claims"
MAX_RESULTS = 32  # devices of one claim
MAX_STEPS = 20_000  # of one search
DeviceId = tuple[str, str, str]  # driver, pool, device


class CannotAllocate(Exception):
    """The text: of the pod's condition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A device that a node's pods can have. `local`: it can be had on that node alone."""

    id: DeviceId
    device: JsonObject
    local: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One device that is wanted: the name of its request in the result, what it is asked for by, and what could be it."""

    claim: int
    request: str
    admin: bool
    tolerations: Sequence[JsonObject]
    offers: Sequence[Offer]


@dataclass(slots=True)
class _Search:
    taken: set[DeviceId]
    constraints: Mapping[int, Sequence[JsonObject]]
    chosen: list[tuple[Slot, Offer]] = field(default_factory=list)
    steps: int = 0


def offers_of(slices: Iterable[JsonObject], node: str, labels: Mapping[str, str]) -> list[Offer]:
    """Of the newest generation of each pool that is complete; in the order of driver, pool, slice."""
    pools: dict[tuple[str, str], list[JsonObject]] = {}
    for each in slices:
        spec = each["spec"]
        pools.setdefault((spec["driver"], spec["pool"]["name"]), []).append(each)
    found: list[Offer] = []
    for (driver, pool), listed in sorted(pools.items()):
        newest = max(each["spec"]["pool"]["generation"] for each in listed)
        current = [each["spec"] for each in listed if each["spec"]["pool"]["generation"] == newest]
        if len(current) == current[0]["pool"]["resourceSliceCount"]:
            for spec in current:
                found += _of_slice(spec, driver, pool, node, labels)
    return found


def allocate(
    claims: Sequence[JsonObject],
    classes: Mapping[str, JsonObject],
    offers: Sequence[Offer],
    taken: Collection[DeviceId],
    node: str,
) -> list[JsonObject]:
    """`status.allocation` of each claim, or CannotAllocate; SelectorError where a selector has no answer."""
    for chosen_requests in _alternatives(
        [(number, r) for number, claim in enumerate(claims) for r in _requests(claim)]
    ):
        slots: list[Slot] | None = []
        for number, request, name in chosen_requests:
            wanted = _slots(number, request, name, classes, offers, taken)
            slots = None if slots is None or wanted is None else slots + wanted
        if slots is None:
            continue
        constraints = {
            n: (claim["spec"].get("devices") or {}).get("constraints") or () for n, claim in enumerate(claims)
        }
        search = _Search(set(taken), constraints)
        if _fill(search, slots, 0):
            return [_allocation(n, claim, classes, chosen_requests, search, node) for n, claim in enumerate(claims)]
    raise CannotAllocate(CANNOT_ALLOCATE)


def ids_of(claim: JsonObject) -> Iterator[DeviceId]:
    """The devices that nobody else can have because the claim has them: not those for administration."""
    allocation = (claim.get("status") or {}).get("allocation") or {}
    for result in (allocation.get("devices") or {}).get("results") or ():
        if not result.get("adminAccess"):
            yield result["driver"], result["pool"], result["device"]


def is_usable(claim: JsonObject, node: str, labels: Mapping[str, str]) -> bool:
    """Whether what an allocated claim has can be used on the node."""
    selector = ((claim.get("status") or {}).get("allocation") or {}).get("nodeSelector")
    return selector is None or selects_node(msgspec.convert(selector, NodeSelector), node, labels)


def _of_slice(spec: JsonObject, driver: str, pool: str, node: str, labels: Mapping[str, str]) -> Iterator[Offer]:
    each_by_itself = bool(spec.get("perDeviceNodeSelection"))
    for device in spec.get("devices") or ():
        where = device if each_by_itself else spec
        if not _is_at(where, node, labels) or device.get("consumesCounters") or device.get("bindingConditions"):
            continue
        yield Offer(id=(driver, pool, device["name"]), device=device, local=not where.get("allNodes"))


def _is_at(where: JsonObject, node: str, labels: Mapping[str, str]) -> bool:
    if where.get("allNodes"):
        return True
    if where.get("nodeSelector"):
        return selects_node(msgspec.convert(where["nodeSelector"], NodeSelector), node, labels)
    return bool(where.get("nodeName") == node)


def _requests(claim: JsonObject) -> list[JsonObject]:
    return (claim["spec"].get("devices") or {}).get("requests") or []


def _alternatives(requests: Sequence[tuple[int, JsonObject]]) -> Iterator[list[tuple[int, JsonObject, str]]]:
    """Every way to take one of each request's alternatives, the preferred ones first: (claim, what is asked for, its name)."""
    if not requests:
        yield []
        return
    (number, request), rest = requests[0], requests[1:]
    choices = [(request["exactly"], request["name"])] if request.get("exactly") else []
    choices += [(each, f"{request['name']}/{each['name']}") for each in request.get("firstAvailable") or ()]
    for asked, name in choices:
        for others in _alternatives(rest):
            yield [(number, asked, name), *others]


def _slots(
    number: int,
    asked: JsonObject,
    name: str,
    classes: Mapping[str, JsonObject],
    offers: Sequence[Offer],
    taken: Collection[DeviceId],
) -> list[Slot] | None:
    """None: there are not enough. Raises CannotAllocate."""
    found = classes.get(asked["deviceClassName"])
    if found is None:
        raise CannotAllocate(f"request {name}: device class {asked['deviceClassName']} does not exist")
    selectors = [*(found["spec"].get("selectors") or ()), *(asked.get("selectors") or ())]
    admin, tolerations = bool(asked.get("adminAccess")), asked.get("tolerations") or ()
    fitting = [
        offer
        for offer in offers
        if _is_tolerated(offer, tolerations) and _has_capacity(offer, asked) and _is_selected(offer, selectors)
    ]
    if asked.get("allocationMode") == "All":
        if not fitting or any(offer.id in taken for offer in fitting if not admin):
            return None
        each = [[offer] for offer in fitting]
    else:
        free = [offer for offer in fitting if admin or offer.id not in taken]
        each = [free] * int(asked.get("count") or 1)
        if len(free) < len(each):
            return None
    return [Slot(claim=number, request=name, admin=admin, tolerations=tolerations, offers=offers_) for offers_ in each]


def _is_selected(offer: Offer, selectors: Iterable[JsonObject]) -> bool:
    return all(selects(each["cel"]["expression"], offer.id[0], offer.device) for each in selectors)


def _has_capacity(offer: Offer, asked: JsonObject) -> bool:
    wanted, own = (asked.get("capacity") or {}).get("requests") or {}, offer.device.get("capacity") or {}
    return all(
        name in own and quantity.parse(own[name]["value"]) >= quantity.parse(amount) for name, amount in wanted.items()
    )


def _is_tolerated(offer: Offer, tolerations: Sequence[JsonObject]) -> bool:
    taints = msgspec.convert(offer.device.get("taints") or (), tuple[Taint, ...])
    given = msgspec.convert(tolerations, tuple[Toleration, ...])
    return untolerated(taints, given, ("NoSchedule", "NoExecute")) is None


def _fill(search: _Search, slots: Sequence[Slot], number: int) -> bool:
    """Choose a device for each slot from `number` on. Search without end is cut: nothing was found then."""
    if number == len(slots):
        return True
    slot = slots[number]
    mine = {offer.id for other, offer in search.chosen if (other.claim, other.request) == (slot.claim, slot.request)}
    for offer in slot.offers:
        search.steps += 1
        if search.steps > MAX_STEPS:
            return False
        if offer.id in mine or (offer.id in search.taken and not slot.admin):
            continue
        search.chosen.append((slot, offer))
        fresh = not slot.admin and offer.id not in search.taken
        if fresh:
            search.taken.add(offer.id)
        if _is_consistent(search, slot.claim) and _fill(search, slots, number + 1):
            return True
        search.chosen.pop()
        if fresh:
            search.taken.discard(offer.id)
    return False


def _is_consistent(search: _Search, claim: int) -> bool:
    for constraint in search.constraints[claim]:
        name = constraint.get("matchAttribute") or constraint["distinctAttribute"]
        among = set(constraint.get("requests") or ())
        values = [
            _attribute(offer, name)
            for slot, offer in search.chosen
            if slot.claim == claim and (not among or slot.request in among or slot.request.split("/")[0] in among)
        ]
        if any(value is None for value in values):
            return False
        different = len({msgspec.json.encode(value) for value in values})
        if values and different != (1 if constraint.get("matchAttribute") else len(values)):
            return False
    return True


def _attribute(offer: Offer, name: str) -> Any:
    """By its full name; one of the driver's own domain may be told without it."""
    told = offer.device.get("attributes") or {}
    domain, _, short = name.rpartition("/")
    found = told.get(name) or (told.get(short) if domain == offer.id[0] else None)
    return attribute(found) if found is not None else None


def _allocation(
    number: int,
    claim: JsonObject,
    classes: Mapping[str, JsonObject],
    requests: Sequence[tuple[int, JsonObject, str]],
    search: _Search,
    node: str,
) -> JsonObject:
    chosen = [(slot, offer) for slot, offer in search.chosen if slot.claim == number]
    if len(chosen) > MAX_RESULTS:
        raise CannotAllocate(f"claim {claim['metadata']['name']}: more than {MAX_RESULTS} devices")
    devices: JsonObject = {"results": [_result(slot, offer) for slot, offer in chosen]}
    configs = [
        {"source": "FromClass", "requests": [name], **config}
        for claim_number, asked, name in requests
        if claim_number == number
        for config in classes[asked["deviceClassName"]]["spec"].get("config") or ()
    ] + [{"source": "FromClaim", **config} for config in (claim["spec"].get("devices") or {}).get("config") or ()]
    if configs:
        devices["config"] = configs
    found: JsonObject = {"devices": devices}
    if any(offer.local for _, offer in chosen):
        only = {"key": "metadata.name", "operator": "In", "values": [node]}
        found["nodeSelector"] = {"nodeSelectorTerms": [{"matchFields": [only]}]}
    return found


def _result(slot: Slot, offer: Offer) -> JsonObject:
    driver, pool, device = offer.id
    told: JsonObject = {"request": slot.request, "driver": driver, "pool": pool, "device": device}
    if slot.admin:
        told["adminAccess"] = True
    if slot.tolerations:
        told["tolerations"] = list(slot.tolerations)
    return told
