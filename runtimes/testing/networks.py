"""Networks of tests: two runs of the suite on one machine, or two workers of one run, never get the same subnet."""

import fcntl
import json
import os
import random
from pathlib import Path

_LOCKS = Path("/run/lock/nodeagent-test-subnets")
_held: list[int] = []


def claim_subnet() -> str:
    """A /24 below 10.200.0.0 to 10.249.255.0 that no other living process has: its lock goes with this one."""
    _LOCKS.mkdir(parents=True, exist_ok=True)
    for _ in range(1000):
        second, third = random.SystemRandom().randrange(200, 250), random.SystemRandom().randrange(256)
        lock = os.open(_LOCKS / f"{second}.{third}", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        _held.append(lock)
        return f"10.{second}.{third}.0/24"
    raise AssertionError("no subnet is free: what else runs here?")


def is_nobodys(address: str) -> bool:
    """Whether an IPv4 address is of a subnet that was a test's, since the machine started, and is no longer."""
    _, second, third, _ = address.split(".")
    try:
        lock = os.open(_LOCKS / f"{second}.{third}", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


def bridge_network(name: str, subnet: str, data_dir: Path) -> str:
    """A CNI configuration list: a bridge of that name, addresses of that subnet, host ports."""
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": subnet}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(data_dir),
    }
    bridge = {"type": "bridge", "bridge": name, "isGateway": True, "ipMasq": False, "ipam": ipam}
    plugins = [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}]
    return json.dumps({"cniVersion": "1.0.0", "name": name, "plugins": plugins})
