"""logind, which delays a shutdown of the machine for those who hold a lock. Source: org.freedesktop.login1(5)."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from runtimes.linux.dbus import Bus, BusError, Refused, Remote, Signals
from runtimes.linux.files import replace_file

LOGIN1 = Remote(
    service="org.freedesktop.login1", path="/org/freedesktop/login1", interface="org.freedesktop.login1.Manager"
)
_PROPERTIES = Remote(service=LOGIN1.service, path=LOGIN1.path, interface="org.freedesktop.DBus.Properties")
_SYSTEMD = Remote(
    service="org.freedesktop.systemd1", path="/org/freedesktop/systemd1", interface="org.freedesktop.systemd1.Manager"
)
UNIT = "systemd-logind.service"
DROP_INS = Path("/etc/systemd/logind.conf.d")
DROP_IN = "99-kubelet.conf"  # a kubelet's: one machine is one node's
_DROP_IN_MODE = 0o644
_FOLDER_MODE = 0o755
_SIGHUP = 1
_MICROSECONDS = 1_000_000


class Logind:
    """On one connection. All methods raise Refused, NoAnswer, Unreachable."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def delay_seconds(self) -> float:
        """How long a lock delays a shutdown at most."""
        return float(await self._property("InhibitDelayMaxUSec")) / _MICROSECONDS

    async def preparing(self) -> bool:
        """Whether a shutdown is under way, for one who may have missed its signal."""
        try:
            return bool(await self._property("PreparingForShutdown"))
        except Refused:
            return False  # a stand-in that has no such property

    async def ask_for_delay(self, seconds: int, drop_ins: Path) -> None:
        """Configure so long a delay, and have logind read it. Raises OSError, too."""
        drop_ins.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        text = f"# written by the node's agent: pods have so long to end\n[Login]\nInhibitDelayMaxSec={seconds}\n"
        replace_file(drop_ins / DROP_IN, text.encode(), mode=_DROP_IN_MODE)
        await self._bus.call(_SYSTEMD, "KillUnit", "ssi", [UNIT, "all", _SIGHUP])

    async def inhibit(self) -> int:
        """Take a lock: a descriptor, which gives it back when it is closed."""
        why = "Kubelet needs time to handle node shutdown"
        answer = await self._bus.call(LOGIN1, "Inhibit", "ssss", ["shutdown", "kubelet", why, "delay"])
        if not answer.fds:
            raise BusError("logind gave no lock")
        return answer.fds[0]

    def shutdowns(self) -> AbstractAsyncContextManager[Signals]:
        """Signals with one boolean: a shutdown begins, or the one that was announced does not take place."""
        return self._bus.signals(LOGIN1, "PrepareForShutdown")

    async def _property(self, name: str) -> Any:
        answer = await self._bus.call(_PROPERTIES, "Get", "ss", [LOGIN1.interface, name])
        return answer.body[0].value
