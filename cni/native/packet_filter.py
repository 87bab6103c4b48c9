"""Which packet filter this host has: chosen once, with a line in the log."""

import errno
import logging
import shutil

from cni.native.iptables_rules import IptablesRules
from cni.native.nftables import messages
from cni.native.nftables.errors import NftablesUnavailable
from cni.native.nftables.kernel import Netfilter
from cni.native.nftables_rules import NftablesRules
from cni.native.rules import Rules

logger = logging.getLogger(__name__)

_DROP = 0


def choose_rules() -> Rules:
    """The rules of the calling thread's network namespace: nftables', or where the kernel has none, those of iptables.

    Raises NftablesUnavailable where there is neither.
    """
    rules = NftablesRules()
    try:
        rules.prepare()
    except NftablesUnavailable as error:
        if not shutil.which("iptables-restore") or error.errno in (errno.EPERM, errno.EACCES):
            raise
        logger.warning("%s; until then host ports and masquerade are made by the iptables programs", error)
        return IptablesRules()
    for name in dropping_forwards(Netfilter()):
        logger.warning(
            "%s drops what it does not accept: pods reach other machines, and are reached, only as far as its own rules say",
            name,
        )
    return rules


def dropping_forwards(kernel: Netfilter) -> list[str]:
    """The chains of forwarding whose policy is to drop (of nftables, and of iptables over it): ours cannot overrule them."""
    found = [chain for body in kernel.dump(messages.get_chains()) if (chain := messages.read_base_chain(body))]
    return [
        f"chain {chain} of table {table}"
        for table, chain, hook, policy in found
        if hook == messages.FORWARD and policy == _DROP
    ]
