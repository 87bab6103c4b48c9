"""What a bridge lets through, beside rules: 127.0.0.0/8 by routes, its frames to the packet filter."""

import logging
from pathlib import Path

logger = logging.getLogger(__name__)


def open_loopback(bridge: str, network: str) -> None:
    """Let the bridge route 127.0.0.0/8, so that 127.0.0.1:PORT of the host can lead to a pod. Guard it before."""
    setting = Path("/proc/sys/net/ipv4/conf", bridge, "route_localnet")
    try:
        if setting.read_text().strip() != "1":
            setting.write_text("1")
    except OSError as error:
        logger.warning("127.0.0.1 of this host cannot lead to host ports of %s: %s", network, error)


def unseen_versions(bridge: str) -> frozenset[int]:
    """Of which IP versions frames between ports of the bridge do not pass the packet filter (br_netfilter)."""
    names = {4: "iptables", 6: "ip6tables"}
    seen = {
        version
        for version, name in names.items()
        for path in (f"/proc/sys/net/bridge/bridge-nf-call-{name}", f"/sys/class/net/{bridge}/bridge/nf_call_{name}")
        if _reads_one(Path(path))
    }
    return frozenset(names) - seen


def _reads_one(path: Path) -> bool:
    try:
        return path.read_text().strip() == "1"
    except OSError:
        return False
