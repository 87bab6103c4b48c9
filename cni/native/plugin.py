"""The plugin: what each CNI command does. All functions block for some milliseconds.

ADD works up (an address, the interface, the rules), DEL down again: the address last, so that no other pod is given it while this
one can still use it. Killed between any two steps, what is there is found by DEL or GC: reservations and rules name their
attachment, the interface is named by it.
"""

import contextlib
import ipaddress
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from cni.errors import CNIError
from cni.native import bridges, checks, namespace, outcome, settings, veth
from cni.native.announce import Announcer
from cni.native.failure import Code, Failure
from cni.native.ipam.allocator import Allocator
from cni.native.ipam.reservations import LockTimeout, Owner
from cni.native.netlink import Socket
from cni.native.nftables.errors import NftablesUnavailable
from cni.native.request import VERSIONS, Request
from cni.native.rtnl import Link
from cni.native.rules import HostPortTaken, PodRules, Rules
from cni.native.settings import Addresses, Bridge
from cni.native.veth import Identity
from cni.result import Result


class Plugin:
    """Keeps what is the same for every pod of a process: sockets, a thread each, and the locks of address folders."""

    def __init__(self, rules: Callable[[], Rules]) -> None:
        """`rules` opens the host's packet filter, when first needed. It raises NftablesUnavailable where there is none."""
        self._open_rules = rules
        self._opened_rules: Rules | None = None
        self._opening = threading.Lock()
        self._threads = threading.local()
        self._announcer = Announcer()
        self._bridges: dict[str, Link] = {}
        self._allocators: dict[tuple[str, str], Allocator] = {}
        self._commands: Mapping[str, Callable[[Request], dict[str, Any] | None]] = {
            "ADD": self.add,
            "DEL": self.delete,
            "CHECK": self.check,
            "GC": self.gc,
            "STATUS": self.status,
            "VERSION": version,
        }

    def run(self, request: Request) -> dict[str, Any] | None:
        """The command's answer. Raises Failure, of whatever kind the trouble is."""
        try:
            return self._commands[request.command](request)
        except (LockTimeout, HostPortTaken) as error:
            raise Failure(str(error), code=Code.TRY_AGAIN) from error
        except NftablesUnavailable as error:
            raise Failure(str(error), code=Code.NOT_AVAILABLE) from error
        except (OSError, CNIError) as error:
            raise Failure(str(error)) from error

    def add(self, request: Request) -> dict[str, Any]:
        previous = outcome.previous_result(request)
        if not settings.makes_interface(request):
            if previous is None:
                raise Failure(
                    "without ipam and bridge this plugin comes after another: prevResult is missing", code=_WRONG
                )
            result = previous
            with namespace.opened(request.netns):
                self._apply_rules(request, _reached_by(result), result)
        else:
            wanted = settings.bridge(request)
            settings.host_ports(request)
            with namespace.opened(request.netns) as netns:
                result = self._attach(request, wanted, netns, previous)
        return result.to_wire(request.version)

    def delete(self, request: Request) -> None:
        who = _owner(request)
        with contextlib.suppress(NftablesUnavailable):  # where there can be no rules none are to be removed
            self._rules.remove(request.network, who.container_id, who.ifname)
        if settings.makes_interface(request):
            veth.detach(_identity(request).host_name)
            self._allocator(request, settings.addresses(request)).release(who)

    def check(self, request: Request) -> None:
        previous = outcome.previous_result(request)
        if previous is None:
            raise Failure("CHECK needs prevResult", code=_WRONG)
        name = _reached_by(previous)
        with namespace.opened(request.netns) as netns:
            if settings.makes_interface(request):
                wanted = settings.bridge(request)
                name = wanted.name
                checks.check_host(self._host, wanted, _identity(request))
                own = checks.check_inside(netns, request, wanted, previous)
                self._allocator(request, wanted.addresses).check(_owner(request), own)
        if problems := self._rules.check(self._pod_rules(request, name, previous)):
            raise Failure("; ".join(problems))

    def gc(self, request: Request) -> None:
        given = request.config.get("cni.dev/valid-attachments") or request.config.get("cni.dev/attachments") or []
        try:
            valid = {Owner(item["containerID"], item["ifname"]) for item in given}
        except (TypeError, KeyError) as error:
            raise Failure(f"cni.dev/valid-attachments: {error!r}", code=_WRONG) from error
        steps = [lambda: self._rules.keep_only(request.network, valid)]
        if settings.makes_interface(request):
            keep = {Identity(network=request.network, container_id=a, ifname=b).host_name for a, b in valid}
            stale = [link for link in veth.of_network(self._host, request.network) if link.name not in keep]
            steps += [partial(veth.detach, link.name) for link in stale]
            allocator = self._allocator(request, settings.addresses(request))
            steps.append(lambda: allocator.keep_only(valid))
        _run_all(steps)

    def restore(self, requests: Sequence[Request]) -> list[tuple[Request, Exception]]:
        """Bridges and rules of attachments (with their prevResult), where they are missing; what failed. Raises Failure."""
        failed: list[tuple[Request, Exception]] = []
        try:
            present = set(self._rules.owned())
        except (CNIError, OSError) as error:
            raise Failure(str(error), code=Code.NOT_AVAILABLE) from error
        for request in requests:
            try:
                self._restore(request, (request.network, request.container_id, request.ifname) in present)
            except (Failure, CNIError, OSError) as error:
                failed.append((request, error))
        return failed

    def _restore(self, request: Request, has_rules: bool) -> None:
        result = outcome.previous_result(request)
        if result is None:
            return
        name = _reached_by(result)
        if settings.makes_interface(request):
            wanted = settings.bridge(request)
            name = wanted.name
            self._bridges[name] = bridges.ensure(self._host, wanted, self._bridges.get(name))
        if not has_rules:
            self._apply_rules(request, name, result)

    def status(self, request: Request) -> None:
        _ = self._rules  # opened: this kernel can
        if settings.makes_interface(request):
            wanted = settings.bridge(request)
            self._allocator(request, wanted.addresses).require_free(wanted.addresses.sets)

    def _attach(self, request: Request, wanted: Bridge, netns: int, previous: Result | None) -> Result:
        mac = bytes.fromhex(request.wanted_mac.replace(":", "")) or bridges.random_mac()
        who, host = _owner(request), self._host
        bridge = self._bridges[wanted.name] = bridges.ensure(host, wanted, self._bridges.get(wanted.name))
        allocator = self._allocator(request, wanted.addresses)
        leases = allocator.reserve(who, wanted.addresses.sets, request.wanted_ips)
        undo: list[Callable[[], object]] = [lambda: allocator.release(who)]
        try:
            identity = _identity(request)
            pair = veth.attach(host, bridge, wanted, identity, netns, mac, leases)
            undo.append(lambda: veth.detach(identity.host_name))
            veth.configure(netns, request.ifname, pair.index, leases, outcome.kernel_routes(wanted, leases, pair.index))
            result = outcome.result(request, wanted, bridge, pair, leases, previous)
            undo.append(lambda: self._rules.remove(request.network, who.container_id, who.ifname))
            self._apply_rules(request, wanted.name, result)
            veth.wait_for_port(host, identity.host_name)
            self._announcer.announce(bridge.name, mac, [lease.address for lease in leases])
        except BaseException:
            with contextlib.suppress(Failure):  # what remains is found by the DEL that follows
                _run_all(reversed(undo))
            raise
        return result

    def _apply_rules(self, request: Request, bridge: str, result: Result) -> None:
        rules = self._pod_rules(request, bridge, result)
        if rules.masquerade or rules.host_ports:
            self._rules.apply(rules)

    def _pod_rules(self, request: Request, bridge: str, result: Result) -> PodRules:
        return PodRules(
            network=request.network,
            container_id=request.container_id,
            ifname=request.ifname,
            bridge=bridge,
            addresses=tuple(ipaddress.ip_interface(ip.address) for ip in checks.own_addresses(request, result)),
            masquerade=settings.masquerades(request),
            host_ports=settings.host_ports(request),
        )

    @property
    def _rules(self) -> Rules:
        with self._opening:  # the first pods come at once
            if self._opened_rules is None:
                self._opened_rules = self._open_rules()
            return self._opened_rules

    @property
    def _host(self) -> Socket:
        """The calling thread's, in the host's namespace."""
        found: Socket | None = getattr(self._threads, "host", None)
        if found is None:
            found = self._threads.host = Socket()
        return found

    def _allocator(self, request: Request, addresses: Addresses) -> Allocator:
        key = (addresses.data_dir, request.network)
        return self._allocators.setdefault(key, Allocator(*key))


_WRONG = Code.INVALID_CONFIG


def version(request: Request) -> dict[str, Any]:
    return {"cniVersion": request.version, "supportedVersions": list(VERSIONS)}


def _reached_by(result: Result) -> str:
    """The host's device that another plugin has made: its bridge, or its end of a pair."""
    return next((interface.name for interface in result.interfaces if not interface.sandbox), "")


def _owner(request: Request) -> Owner:
    return Owner(request.container_id, request.ifname)


def _identity(request: Request) -> Identity:
    return Identity(network=request.network, container_id=request.container_id, ifname=request.ifname)


def _run_all(steps: Iterable[Callable[[], object]]) -> None:
    """Each, whatever the others do; then raise Failure with everything that was said."""
    said: list[str] = []
    for step in steps:
        try:
            step()
        except (Failure, CNIError, OSError) as error:
            said.append(str(error))
    if said:
        raise Failure("; ".join(said))
