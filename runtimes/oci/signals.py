"""Stop signals: the CRI's enumeration and an image's text, as numbers of this kernel."""

import re
import signal

from proto import cri_pb2 as cri

_REALTIME = re.compile(r"^SIGRT(MIN|MAX)(?:(?:PLUS|MINUS|\+|-)(\d+))?$")
# names of the enumeration that Python's signal module does not have
_ALIASES = {"SIGCLD": "SIGCHLD", "SIGIOT": "SIGABRT", "SIGPOLL": "SIGIO"}


def stop_signal(wanted: "cri.Signal", image: str) -> int:
    """The container's own, else the image's, else SIGTERM. An image's nonsense counts as nothing."""
    if wanted != cri.RUNTIME_DEFAULT:
        found = signal_number(cri.Signal.Name(wanted))
        if found is not None:
            return found
    return signal_number(image) or signal.SIGTERM


def signal_number(text: str) -> int | None:
    """ "SIGTERM", "term", "15", "SIGRTMIN+3" as a number; None when it is no signal."""
    if text.isdigit():
        return int(text) if 0 < int(text) < signal.NSIG else None
    name = text.upper()
    if not name.startswith("SIG"):
        name = f"SIG{name}"
    if found := _REALTIME.match(name):
        offset = int(found.group(2) or 0)
        number = signal.SIGRTMIN + offset if found.group(1) == "MIN" else signal.SIGRTMAX - offset
        return int(number) if signal.SIGRTMIN <= number <= signal.SIGRTMAX else None
    try:
        return int(signal.Signals[_ALIASES.get(name, name)])
    except KeyError:
        return None
