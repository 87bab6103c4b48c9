"""Rules of pods in nftables: elements of one table (`pod_table.py`), a transaction a pod."""

import errno
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet

from typing_extensions import override

from cni.native import conntrack
from cni.native.bridge_settings import open_loopback, unseen_versions
from cni.native.nftables import messages
from cni.native.nftables.errors import NftablesError
from cni.native.nftables.kernel import Netfilter
from cni.native.nftables.messages import Message
from cni.native.nftables.sets import Element, Set
from cni.native.nftables.tables import dump_elements, ensure, missing_rules
from cni.native.pod_table import (
    BRIDGES,
    FAMILIES,
    PORT_MAPS,
    UNSEEN,
    bridge_element,
    elements,
    owner_comment,
    pod_table,
    reached_by,
    read_owner,
)
from cni.native.rules import HostPortTaken, Owner, PodRules, Rules

_TRIES = 5

Elements = dict[Set, tuple[Element, ...]]


class NftablesRules(Rules):
    """The table is made when the first pod needs it, and again when somebody has flushed it."""

    def __init__(self) -> None:
        self._kernel = Netfilter()
        self._table = pod_table()
        self._there = False

    @override
    def apply(self, pod: PodRules) -> None:
        wanted = elements(pod, unseen_versions(pod.bridge))
        self.prepare()
        try:
            self._kernel.commit(self._new(wanted))
        except NftablesError as error:
            if error.errno not in (errno.EEXIST, errno.ENOENT):
                raise
            self._replace(pod, wanted)
        self._open_loopback(pod)
        for port, _ in _udp_ports(wanted):
            conntrack.forget_udp(self._kernel, port, lambda found: found.was_redirected or not found.was_masqueraded)

    @override
    def remove(self, network: str, container_id: str, ifname: str) -> None:
        owner = Owner(network, container_id, ifname)
        self._remove(owner.__eq__, owner_comment(owner).encode())

    @override
    def check(self, pod: PodRules) -> list[str]:
        wanted = elements(pod, FAMILIES)
        try:
            wrong = missing_rules(self._kernel, self._table)
            there = self._owned_by(pod.owner.__eq__, owner_comment(pod.owner).encode())
        except NftablesError as error:
            if error.errno != errno.ENOENT:
                raise
            return [f"{error.about} is missing"]
        for item in self._table.sets:
            want, have = set(wanted.get(item, ())), set(there.get(item, ()))
            if item not in UNSEEN:  # as the host was at the time of ADD
                wrong += [f"{item.name}: {element} is missing" for element in sorted(want - have, key=str)]
            wrong += [f"{item.name}: {element} is not the pod's" for element in sorted(have - want, key=str)]
        return wrong

    @override
    def keep_only(self, network: str, valid: AbstractSet[tuple[str, str]]) -> None:
        def is_garbage(owner: Owner) -> bool:
            return owner.network == network and (owner.container_id, owner.ifname) not in valid

        self._remove(is_garbage, f"{network} ".encode())

    @override
    def owned(self) -> tuple[Owner, ...]:
        try:
            there = self._owned_by(lambda _: True)
        except NftablesError as error:
            if error.errno != errno.ENOENT:
                raise
            return ()
        found = {read_owner(element.comment) for some in there.values() for element in some}
        return tuple(sorted(owner for owner in found if owner is not None))

    @override
    def withdraw(self) -> bool:
        for _ in range(_TRIES):
            try:
                generation = self._kernel.generation()
                if self._owned_by(lambda _: True):
                    return False
                self._kernel.commit([messages.delete_table(self._table.name)], generation=generation)
            except NftablesError as error:
                if error.errno == errno.ERESTART:
                    continue
                if error.errno != errno.ENOENT:
                    raise
            self._there = False
            return True
        return False

    def prepare(self) -> None:
        """Have the table there. Raises NftablesUnavailable where this kernel cannot."""
        if not self._there:
            ensure(self._kernel, self._table)
            self._there = True

    def _new(self, wanted: Elements) -> list[Message]:
        name = self._table.name
        return [message for item, some in wanted.items() for message in messages.new_elements(name, item, some)]

    def _old(self, there: Elements) -> list[Message]:
        name = self._table.name
        return [message for item, some in there.items() for message in messages.delete_elements(name, item, some)]

    def _replace(self, pod: PodRules, wanted: Elements) -> None:
        """Something of what the pod wants is there: take away what is its own or an earlier pod's, in the same batch."""
        for last in reversed(range(_TRIES)):
            ensure(self._kernel, self._table)
            gone: Elements = {}
            for item in self._table.sets:
                keys = {element.key for element in wanted.get(item, ())}
                old = []
                for element in dump_elements(self._kernel, self._table, item):
                    owner = read_owner(element.comment)
                    if owner == pod.owner:
                        old.append(element)
                    elif element.key in keys:
                        if item in PORT_MAPS and owner is not None:
                            raise HostPortTaken(" ".join(map(str, element.key)), owner)
                        old.append(element)
                if old:
                    gone[item] = tuple(old)
            try:
                self._kernel.commit([*self._old(gone), *self._new(wanted)])
            except NftablesError as error:
                if not last or error.errno not in (errno.EEXIST, errno.ENOENT):
                    raise
            else:
                return

    def _owned_by(self, belongs: Callable[[Owner], bool], comment: bytes = b"") -> Elements:
        """The elements of owners for whom `belongs` holds; `comment` is part of the comments of all of them."""
        found: Elements = {}
        for item in self._table.sets:
            if item is not BRIDGES and (some := tuple(self._of(item, belongs, comment))):
                found[item] = some
        return found

    def _of(self, item: Set, belongs: Callable[[Owner], bool], comment: bytes) -> Iterator[Element]:
        for element in dump_elements(self._kernel, self._table, item, comment):
            owner = read_owner(element.comment)
            if owner is not None and belongs(owner):
                yield element

    def _remove(self, belongs: Callable[[Owner], bool], comment: bytes) -> None:
        for last in reversed(range(_TRIES)):
            try:
                gone = self._owned_by(belongs, comment)
                self._kernel.commit(self._old(gone))
            except NftablesError as error:
                if error.errno != errno.ENOENT:
                    raise
                try:
                    self._kernel.get(messages.get_table(self._table.name))
                except NftablesError:
                    return  # there is no table, so nothing of the pod
                if not last:
                    raise
                continue
            ports = _udp_ports(gone)
            for port in {port for port, _ in ports}:
                pods = {address for number, address in ports if number == port}
                conntrack.forget_udp(self._kernel, port, conntrack.answered_by(pods))
            return

    def _open_loopback(self, pod: PodRules) -> None:
        """Let 127.0.0.1:PORT of the host reach the pod: guard the bridge first, then let it route such addresses."""
        if not any(item.version == 4 for port in pod.host_ports for item in reached_by(port, pod.addresses)):
            return
        if not any(element.key == (pod.bridge,) for element in dump_elements(self._kernel, self._table, BRIDGES)):
            try:
                self._kernel.commit(self._new({BRIDGES: (bridge_element(pod.bridge, pod.network),)}))
            except NftablesError as error:
                if error.errno != errno.EEXIST:
                    raise
        open_loopback(pod.bridge, pod.network)


def _udp_ports(some: Elements) -> set[tuple[int, str]]:
    """(host port, pod's address) of the redirections of UDP among the elements."""
    return {
        (int(element.key[-1]), str(element.value[0]))
        for item in PORT_MAPS & some.keys()
        for element in some[item]
        if element.value is not None and "udp" in element.key
    }
