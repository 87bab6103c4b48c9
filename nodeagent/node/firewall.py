"""What makeIPTablesUtilChains promises: no packet from outside reaches what listens on this machine's 127.0.0.0/8 only.

A host port makes the kernel route such packets (route_localnet on the pods' bridge: CVE-2020-8558). The chain, the rule and their
names are the kubelet's. They are the machine's, not one agent's: as many agents as like set them, and none takes them away, since
the pods stay when an agent goes. IPv6 has no such routes; there only the chain is made by which other programs see which of two
iptables is in use.
"""

import asyncio
import logging
import shutil
from collections.abc import Sequence

from runtimes.linux import process

log = logging.getLogger(__name__)

CHAIN = "KUBE-FIREWALL"
HINT_CHAIN = "KUBE-IPTABLES-HINT"
RULE = (
    *("-m", "comment", "--comment", "block incoming localnet connections"),
    *("-d", "127.0.0.0/8", "!", "-s", "127.0.0.0/8"),
    *("-m", "conntrack", "!", "--ctstate", "RELATED,ESTABLISHED,DNAT"),
    *("-j", "DROP"),
)
LOOK_SECONDS = 60.0
_WAIT = ("-w", "5")  # for whoever holds the lock
_DEADLINE_SECONDS = 30.0


class FirewallError(OSError):
    """The program refused; the text is its own."""


class Firewall:
    """Sets the rule, and looks every minute whether somebody has flushed it. `programs`: for IPv4 and IPv6, "" for none."""

    def __init__(self, programs: tuple[str, str] | None = None) -> None:
        self._v4, self._v6 = programs or (shutil.which("iptables") or "", shutil.which("ip6tables") or "")
        self._told = ""

    async def run(self) -> None:
        for program, name in ((self._v4, "iptables"), (self._v6, "ip6tables")):
            if not program:
                log.warning("makeIPTablesUtilChains: there is no %s on this machine", name)
        if not self._v4:
            log.warning("pods with a host port on this machine let others reach what listens on 127.0.0.1")
            return
        in_force = False
        while True:
            try:
                await self.ensure()
                if not in_force:
                    log.info("firewall: what listens on 127.0.0.1 is closed to pods, by chain %s", CHAIN)
                in_force, self._told = True, ""
            except (FirewallError, process.ProcessError) as error:
                if str(error) != self._told:
                    log.warning("pods may reach what listens on 127.0.0.1: %s", error)
                self._told = str(error)
            await asyncio.sleep(LOOK_SECONDS)

    async def ensure(self) -> None:
        """Idempotent. Raises FirewallError, ProcessError."""
        if await self._chain(self._v4, "filter", CHAIN):
            log.info("firewall: chain %s made", CHAIN)
        await self._rule(self._v4, CHAIN, RULE, first=False)
        for chain in ("OUTPUT", "INPUT"):
            await self._rule(self._v4, chain, ("-j", CHAIN), first=True)
        for program in (self._v4, self._v6):
            if program:
                await self._chain(program, "mangle", HINT_CHAIN)

    async def _chain(self, program: str, table: str, chain: str) -> bool:
        """Whether it had to be made. Another agent may make it at the same moment."""
        if (await _call(program, table, "-S", chain)).ok:
            return False
        made = await _call(program, table, "-N", chain)
        if not made.ok and not (await _call(program, table, "-S", chain)).ok:
            raise FirewallError(_words(program, made))
        return True

    async def _rule(self, program: str, chain: str, rule: Sequence[str], *, first: bool) -> None:
        if (await _call(program, "filter", "-C", chain, *rule)).ok:
            return
        done = await _call(program, "filter", *(("-I", chain, "1") if first else ("-A", chain)), *rule)
        if not done.ok:
            raise FirewallError(_words(program, done))


async def _call(program: str, table: str, *arguments: str) -> process.Completed:
    return await process.run([program, *_WAIT, "-t", table, *arguments], timeout_seconds=_DEADLINE_SECONDS)


def _words(program: str, done: process.Completed) -> str:
    return f"{program}: {done.stderr.decode(errors='replace').strip()}"
