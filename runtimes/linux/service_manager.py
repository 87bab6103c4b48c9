"""What the agent tells systemd, which started it: that it is up, that it stops, that it is alive. Source: sd_notify(3).

The variables by which systemd says where are taken out of the environment: what the agent starts, pods above all, has nothing
to tell there.
"""

import logging
import os
import socket
from collections.abc import MutableMapping

log = logging.getLogger(__name__)

READY = "READY=1"
STOPPING = "STOPPING=1"
ALIVE = "WATCHDOG=1"
_MICROSECONDS = 1_000_000
_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class ServiceManager:
    """`address`: of its socket, empty: nobody listens. `watchdog_seconds`: so often it wants to hear `ALIVE`; None: never."""

    def __init__(self, address: str, watchdog_seconds: float | None = None) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self.watchdog_seconds = watchdog_seconds if address else None

    @classmethod
    def taken_from(cls, environment: MutableMapping[str, str]) -> "ServiceManager":
        """The one that is named there; the environment names it no more."""
        address, microseconds, pid = (environment.pop(name, "") for name in _VARIABLES)
        wanted = microseconds.isdigit() and int(microseconds) > 0 and pid in ("", str(os.getpid()))
        return cls(address, int(microseconds) / _MICROSECONDS if wanted else None)

    def tell(self, state: str, *, status: str = "") -> None:
        """Never waits, never fails: who does not listen is not told. `status`: one line for `systemctl status`."""
        if not self._address:
            return
        text = state + (f"\nSTATUS={status}" if status else "")
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
                connection.setblocking(False)
                connection.sendto(text.encode(), self._address)
        except OSError as error:
            log.warning("the service manager was not told %s: %s", state, error.strerror)
