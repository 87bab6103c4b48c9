"""Errors of drivers in the words that a kubelet's events have for them. Source: docs/facts/storage.md 10.4."""

from csi.errors import CSIError, Final, as_go
from nodeagent.volumes.contract import VolumeError


class DriverError(VolumeError):
    """A call to a driver has failed. `refused`: the driver says that nothing of it has happened, nor will. One that nobody has
    heard may have been heard before.
    """

    def __init__(self, driver: str, error: CSIError) -> None:
        super().__init__(f"{as_go(error)} ({error.method} of driver {driver})")
        self.refused = isinstance(error, Final)
