"""What a pod's ResourceClaims say about scheduling it, and what they are given on a node. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from nodeagent.apiserver.kinds.base import name_of, namespace_of, uid_of
from nodeagent.apiserver.kinds.scheduling.device_selectors import SelectorError
from nodeagent.apiserver.kinds.scheduling.devices import (
    CannotAllocate,
    DeviceId,
    allocate,
    ids_of,
    is_usable,
    offers_of,
)
from runtimes.kube.json_object import JsonObject

CLAIMS, CLASSES, SLICES = (f"{name}.resource.k8s.io" for name in ("resourceclaims", "deviceclasses", "resourceslices"))
Key = tuple[str, str]
_Name = TypeVar("_Name")
Allocations = Mapping[Key, JsonObject]
NOT_HERE = "resourceclaim not available on the node"


@dataclass(slots=True)
class DevicePicture:
    """Claims, classes and slices as the scheduler knows them. `assumed`: allocations that it has decided on and that are not seen
    in the claims yet."""

    claims: dict[Key, JsonObject] = field(default_factory=dict)
    classes: dict[str, JsonObject] = field(default_factory=dict)
    slices: dict[str, JsonObject] = field(default_factory=dict)
    assumed: dict[Key, JsonObject] = field(default_factory=dict)

    def enter(self, resource: str, key: Key, obj: JsonObject | None) -> None:
        """None: it is deleted."""
        if resource == CLAIMS:
            _set(self.claims, key, obj)
            if obj is None or (obj.get("status") or {}).get("allocation"):
                self.assumed.pop(key, None)
        else:
            _set(self.classes if resource == CLASSES else self.slices, key[1], obj)

    def claim(self, key: Key) -> JsonObject:
        """With what is assumed of it. Raises KeyError."""
        found, assumed = self.claims[key], self.assumed.get(key)
        return found if assumed is None else {**found, "status": {**(found.get("status") or {}), "allocation": assumed}}

    def taken(self) -> set[DeviceId]:
        return {id for key in self.claims for id in ids_of(self.claim(key))}


def uses_claims(pod: JsonObject) -> bool:
    return bool(pod["spec"].get("resourceClaims"))


def keys_of(pod: JsonObject) -> Iterator[Key]:
    """The claims of a pod. Raises CannotAllocate: one is not made yet."""
    made = {each["name"]: each for each in (pod.get("status") or {}).get("resourceClaimStatuses") or ()}
    for entry in pod["spec"].get("resourceClaims") or ():
        name = entry.get("resourceClaimName")
        if not name and entry["name"] not in made:
            raise CannotAllocate(f'pod "{namespace_of(pod)}/{name_of(pod)}": ResourceClaim not created yet')
        if name := name or made[entry["name"]].get("resourceClaimName"):
            yield namespace_of(pod), name


def problem(pod: JsonObject, picture: DevicePicture) -> str:
    """Why no node can take the pod because of its claims; empty when they are no obstacle."""
    try:
        for key in keys_of(pod):
            claim = picture.claims.get(key)
            if claim is None:
                return f'resourceclaim "{key[1]}" not found'
            if claim["metadata"].get("deletionTimestamp"):
                return f'resourceclaim "{key[1]}" is being deleted'
            owners = claim["metadata"].get("ownerReferences") or ()
            made_for = next((owner["uid"] for owner in owners if owner.get("controller")), uid_of(pod))
            if made_for != uid_of(pod):
                return f"ResourceClaim {key[0]}/{key[1]} was not created for pod {key[0]}/{name_of(pod)} (pod is not owner)"
    except CannotAllocate as error:
        return str(error)
    return ""


def allocations(pod: JsonObject, picture: DevicePicture, node: str, labels: Mapping[str, str]) -> Allocations:
    """What each of the pod's claims has on this node, or is to be given. Raises CannotAllocate."""
    claims = {key: picture.claim(key) for key in dict.fromkeys(keys_of(pod))}
    found = {
        key: allocation for key, claim in claims.items() if (allocation := claim.get("status", {}).get("allocation"))
    }
    if not all(is_usable(claims[key], node, labels) for key in found):
        raise CannotAllocate(NOT_HERE)
    waiting = [key for key in claims if key not in found]
    if waiting:
        offers = offers_of(picture.slices.values(), node, labels)
        try:
            given = allocate([claims[key] for key in waiting], picture.classes, offers, picture.taken(), node)
        except SelectorError as error:
            raise CannotAllocate(str(error)) from error
        found |= dict(zip(waiting, given, strict=True))
    return found


def _set(known: dict[_Name, JsonObject], name: _Name, obj: JsonObject | None) -> None:
    if obj is None:
        known.pop(name, None)
    else:
        known[name] = obj
