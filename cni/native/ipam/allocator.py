"""What a network's CNI commands do with its addresses."""

import ipaddress
from collections.abc import Collection, Sequence
from typing import NamedTuple

from cni.native.failure import Code, Failure
from cni.native.ipam import ranges
from cni.native.ipam.ranges import Address, Range, RangeSet
from cni.native.ipam.reservations import Owner, Reservations


class Lease(NamedTuple):
    """An address, and the range that it is of."""

    address: Address
    range: Range

    @property
    def with_prefix(self) -> str:
        return f"{self.address}/{self.range.network.prefixlen}"


class Allocator:
    """One for each folder of a process: threads that share one wait for each other without asking the kernel."""

    def __init__(self, data_dir: str, network: str) -> None:
        self._reservations = Reservations(f"{data_dir}/{network}")

    def reserve(self, owner: Owner, sets: Sequence[RangeSet], requested: Sequence[Address]) -> list[Lease]:
        """One address of every set: the requested one that is in it, else the next. On a Failure nothing is reserved."""
        wanted = list(requested)
        leases: list[Lease] = []
        with self._reservations.lock():
            taken = self._collected()
            self._refuse_second(owner, taken)
            try:
                for number, range_set in enumerate(sets):
                    lease = self._pick(number, range_set, wanted, taken)
                    self._reservations.reserve(lease.address, owner)
                    leases.append(lease)
                    self._reservations.set_last(number, lease.address)
                if wanted:
                    raise Failure(
                        f"requested IPs {', '.join(map(str, wanted))} are in none of the ranges {ranges.names(sets)}"
                    )
            except BaseException:
                for lease in leases:
                    self._reservations.release(str(lease.address))
                raise
        return leases

    def release(self, owner: Owner) -> None:
        """Whatever is the owner's. Nothing is fine."""
        with self._reservations.lock(create=False) as there:
            for name, content in self._collected().items() if there else ():
                if owner.owns(content) and owner.owns(self._reservations.owner_of(name)):
                    self._reservations.release(name)

    def check(self, owner: Owner, addresses: Collection[str]) -> None:
        """Raise Failure when not each of the addresses is the owner's."""
        with self._reservations.lock(create=False) as there:
            for address in addresses:
                found = self._reservations.owner_of(address) if there else ""
                if not owner.owns(found):
                    whose = repr(found.split("\r\n")[0]) if found else "nobody"
                    raise Failure(f"address {address} is reserved for {whose}, not for {owner.container_id!r}")

    def keep_only(self, valid: Collection[Owner]) -> None:
        """Release what is nobody's of `valid`."""
        with self._reservations.lock(create=False) as there:
            for name in self._collected() if there else ():
                content = self._reservations.owner_of(name)
                if not any(owner.owns(content) for owner in valid):
                    self._reservations.release(name)

    def require_free(self, sets: Sequence[RangeSet]) -> None:
        """Raise Failure when a set has no address left."""
        with self._reservations.lock(create=False) as there:
            taken = self._reservations.all() if there else {}
            for number, range_set in enumerate(sets):
                self._next(number, range_set, taken)

    def _collected(self) -> dict[str, str]:
        taken = self._reservations.all()
        for name in self._reservations.abandoned():
            self._reservations.release(name)
        return taken

    def _refuse_second(self, owner: Owner, taken: dict[str, str]) -> None:
        for name, content in taken.items():
            if owner.owns(content) and owner.owns(self._reservations.owner_of(name)):
                raise Failure(f"{owner.container_id} has already the address {name} for {owner.ifname}")

    def _pick(self, number: int, range_set: RangeSet, wanted: list[Address], taken: dict[str, str]) -> Lease:
        for address in wanted:
            found = ranges.holder(range_set, address)
            if found is None:
                continue
            wanted.remove(address)
            if address == found.gateway:
                raise Failure(f"requested IP {address} is the gateway's")
            if str(address) in taken:
                raise Failure(
                    f"requested IP address {address} is not available in range set {ranges.names([range_set])}"
                )
            return Lease(address, found)
        return self._next(number, range_set, taken)

    def _next(self, number: int, range_set: RangeSet, taken: dict[str, str]) -> Lease:
        for address, found in ranges.candidates(range_set, self._reservations.last(number)):
            if str(address) not in taken:
                return Lease(address, found)
        raise Failure(f"no IP addresses available in range set: {ranges.names([range_set])}", code=Code.NOT_AVAILABLE)


def addresses_of(texts: Sequence[str]) -> list[Address]:
    """Requested addresses, with a prefix length or without. Raises ValueError."""
    return [ipaddress.ip_address(text.partition("/")[0]) for text in texts]
