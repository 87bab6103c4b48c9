"""The Services' table in the kernel: what is there is read once and adopted, then each change is one transaction."""

import errno
import threading
from collections.abc import Set as AbstractSet

from cni.native import conntrack
from cni.native.nftables import messages
from cni.native.nftables.errors import NftablesError, NftablesForeign, NftablesUnavailable, is_lack
from cni.native.nftables.kernel import Netfilter
from cni.native.nftables.tables import chains_there, discard, dump_elements, missing_rules, sets_there, version_there
from nodeagent.services.elements import Aim, Difference, TableState, changed_udp, led_elsewhere, slot_of
from nodeagent.services.table import services_table

_SPARE_CHAINS = 1000  # that nothing leads to any more, before the table is made anew without them


class KernelTable:
    """One agent's table, by its name. Every method blocks, for about a millisecond; threads wait for each other.

    Raises NftablesError: the next `apply` then begins by looking at what is there.
    """

    def __init__(self, name: str) -> None:
        self._kernel = Netfilter()
        self._table = services_table(name)
        self._there: TableState | None = None  # None: not known
        self._generation = 0
        self._chains_needed = 0  # when the table was made
        self._lock = (
            threading.Lock()
        )  # whoever was waiting for a change may have been cancelled: it goes on all the same

    def apply(self, aim: Aim) -> int:
        """Make the table as wanted; return of how many messages the transaction was (0: it was so already).

        Raises NftablesUnavailable where this kernel cannot have the table.
        """
        with self._lock:
            try:
                return self._apply(aim)
            except BaseException:
                self._there = None
                raise

    def probe(self) -> None:
        """Raises NftablesUnavailable where this kernel can have no table, as far as that can be seen without making one."""
        try:
            version_there(self._kernel, self._table.name)
        except NftablesForeign:
            raise
        except NftablesError as error:
            raise NftablesUnavailable(error) from error

    def was_touched(self) -> bool:
        """Whether anybody has changed rules of this machine since the last look; if so, `apply` looks at what is there."""
        with self._lock:
            if self._kernel.generation() == self._generation:
                return False
            self._there = None
            return True

    def discard(self) -> bool:
        """Take the table away, if there is one of ours; return whether there was."""
        with self._lock:
            self._there = None
            return discard(self._kernel, self._table.name)

    def close(self) -> None:
        self._kernel.close()

    def _apply(self, aim: Aim) -> int:
        if self._there is None:
            self._look()
        if self._there is None or self._there.number_of_chains > 2 * self._chains_needed + _SPARE_CHAINS:
            return self._make(aim)
        batch, differences = self._there.change(self._table.name, aim)
        self._kernel.commit(batch)
        self._is_in_force(self._there, differences)
        return len(batch)

    def _look(self) -> None:
        """Read what is there. It stays unknown where there is nothing, or not what we would have made."""
        generation = self._kernel.generation()
        try:
            if version_there(self._kernel, self._table.name) != self._table.version or missing_rules(
                self._kernel, self._table
            ):
                return
            slots = frozenset(filter(None, map(slot_of, sets_there(self._kernel, self._table))))
            chains = chains_there(self._kernel, self._table)
            found = {
                item: {element.key: element for element in dump_elements(self._kernel, self._table, item)}
                for item in (*self._table.sets, *(slot.endpoints for slot in slots))
            }
        except NftablesForeign:
            raise
        except NftablesError as error:
            if is_lack(error):
                return  # no table, or half of one; or no nf_tables: then making it tells
            raise
        self._there, self._generation = TableState(found, slots, chains), generation

    def _make(self, aim: Aim) -> int:
        """The table anew, in one transaction with taking the old one away."""
        name = self._table.name
        state = TableState()
        changes, differences = state.change(name, aim)
        batch = [*self._table.create({}), *changes]
        try:
            if version_there(self._kernel, self._table.name) is not None:
                batch.insert(0, messages.delete_table(name))
            self._kernel.commit(batch)
        except NftablesForeign:
            raise
        except NftablesError as error:
            if is_lack(error) and error.errno != errno.ENOENT:
                raise NftablesUnavailable(error) from error
            raise
        self._chains_needed = state.number_of_chains
        self._is_in_force(state, differences)
        return len(batch)

    def _is_in_force(self, state: TableState, differences: list[Difference]) -> None:
        self._there, self._generation = state, self._kernel.generation()
        self._forget_clients(differences)
        self._forget_connections(state, differences)

    def _forget_clients(self, differences: list[Difference]) -> None:
        """Affinity to endpoints that have gone. Nobody is led to them any more, so nobody comes to be remembered."""
        for slot, places in led_elsewhere(differences).items():
            for client in dump_elements(self._kernel, self._table, slot.clients):
                if client.key[:-1] in places:
                    try:
                        self._kernel.commit(messages.delete_elements(self._table.name, slot.clients, [client]))
                    except NftablesError as error:
                        if error.errno != errno.ENOENT:  # its time has come
                            raise

    def _forget_connections(self, state: TableState, differences: list[Difference]) -> None:
        """UDP that goes on to where it led before, or to nowhere."""
        for version, key in changed_udp(differences):
            address = str(key[0]) if len(key) == 3 else ""
            endpoints = {str(target[0]) for target in state.targets((version, key))}

            def is_stale(
                found: conntrack.Connection, address: str = address, endpoints: AbstractSet[str] = endpoints
            ) -> bool:
                ours = address in ("", found.destination)
                elsewhere = found.answers_from not in endpoints if found.was_redirected else not found.was_masqueraded
                return ours and elsewhere

            conntrack.forget_udp(self._kernel, int(key[-1]), is_stale, versions=(version,))
