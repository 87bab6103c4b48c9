"""What can go wrong with CNI. The class says what the caller may do; the fields say where it happened.

    CNIError
      InvalidConfig       the operator must change a file: fails again until then
      InvalidArgument     the caller must change the request
      NotSupported        the plugin or the network cannot do that at all
      NoNetwork           no usable configuration in the folder: wait until there is one
      NotAttached         nothing is known of this attachment: fine for a delete, not for a check
      AlreadyAttached     an add that was done before; carries its result (cni/attachment.py)
      NotRecorded         the cache folder cannot be written: make room, or mend the disk
      PluginError         a plugin was asked, and it did not work:
        Unavailable       it cannot work now: try again later (codes 11, 50, 51)
          PluginTimeout   it was killed at its deadline; whether it did its work is unknown
        PluginNotFound    the program is not in any of the folders: install it
        PluginFailed      it says why; a retry may help
          BadOutput       it speaks no CNI
          VersionRefused    (1) as NotSupported
          ConfigRefused     (2, 7) as InvalidConfig
          UnknownContainer  (3) as NotAttached
          RequestRefused    (4, 8) as InvalidArgument

Codes are those of the CNI specification, section "Error", and 8 of its reference library, an invalid namespace; 0 where no
plugin was asked or none was said.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, Self

from typing_extensions import override

CODE_INVALID_CONFIG = 7


class CNIError(Exception):
    """Base of all errors of this package.

    `msg` and `details` are the plugin's own words where it was a plugin that failed, `plugin` its type ("bridge"),
    `command` the CNI command ("ADD"). `others`: what else failed of the same operation; this is the one that counts.
    """

    def __init__(self, msg: str, *, code: int = 0, details: str = "") -> None:
        super().__init__(msg)
        self.msg = msg
        self.code = code
        self.details = details
        self.plugin = ""
        self.command = ""
        self.others: tuple[CNIError, ...] = ()

    def at(self, command: str, plugin: str) -> Self:
        """Say which plugin it was, and return the error, to be raised."""
        self.command, self.plugin = command, plugin
        return self

    @override
    def __str__(self) -> str:
        text = f"{self.msg}; {self.details}" if self.details else self.msg
        if self.plugin:
            text = f'plugin type="{self.plugin}" failed ({self.command.lower()}): {text}'
        return "; ".join([text, *map(str, self.others)])


class InvalidConfig(CNIError):
    """A network configuration breaks a rule. `file` and `field` ("plugins[1].type") say where, or a plugin said so."""

    def __init__(
        self, msg: str, *, code: int = CODE_INVALID_CONFIG, details: str = "", file: str = "", field: str = ""
    ) -> None:
        super().__init__(msg, code=code, details=details)
        self.file = file
        self.field = field

    @override
    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.field, super().__str__()) if part)


class InvalidArgument(CNIError):
    """A container id, interface name, namespace or argument that no plugin may be given."""


class NotSupported(CNIError):
    """The plugin does not speak the network's version, or the version has no such command."""


class NoNetwork(CNIError):
    """The folder holds no usable configuration. `skipped` says what is wrong with each file that is there."""

    def __init__(self, directory: str, skipped: Sequence[InvalidConfig] = ()) -> None:
        if skipped:
            super().__init__(f"no valid CNI configuration file in {directory}: " + "; ".join(map(str, skipped)))
        else:
            super().__init__(f"no CNI configuration file in {directory}. Has your network provider started?")
        self.directory = directory
        self.skipped = tuple(skipped)


class NotAttached(CNIError):
    """Nothing is recorded of the attachment."""


class NotRecorded(CNIError):
    """The record of an attachment cannot be written, or not be removed. Its `__cause__` is the OSError."""


class PluginError(CNIError):
    """A plugin could not be run, or ended with an error."""

    def __init__(self, plugin: str, command: str, msg: str, *, code: int | None = None, details: str = "") -> None:
        super().__init__(msg, code=code or 0, details=details)
        self.at(command, plugin)


class Unavailable(PluginError):
    """The plugin cannot work now (codes 11, 50, 51)."""


class PluginTimeout(Unavailable):
    """The plugin did not end in time and was killed with everything it had started."""


class PluginNotFound(PluginError):
    """No folder holds the plugin, or what is there is not a program."""


class PluginFailed(PluginError):
    """The plugin ended with an error, or could not be run."""


class BadOutput(PluginFailed):
    """The plugin printed something that is not what its command and version require.

    Whoever reads a result need not know whose it is: `at` says so later.
    """

    def __init__(self, msg: str, *, details: str = "") -> None:
        super().__init__("", "", msg, details=details)


class VersionRefused(PluginFailed, NotSupported):
    """The plugin does not speak the version of the configuration (code 1)."""


class ConfigRefused(PluginFailed, InvalidConfig):
    """The plugin does not accept its configuration: a rule is broken, or a field not supported (codes 2, 7)."""


class UnknownContainer(PluginFailed, NotAttached):
    """The plugin knows nothing of the container: there is nothing to clean up (code 3)."""


class RequestRefused(PluginFailed, InvalidArgument):
    """The plugin does not accept what it was told by the caller: a parameter, or the namespace (codes 4, 8)."""


# What a plugin's code says that the caller may do; every other one is PluginFailed.
BY_CODE: Final[Mapping[int, type[PluginError]]] = MappingProxyType(
    {
        1: VersionRefused,
        2: ConfigRefused,
        3: UnknownContainer,
        4: RequestRefused,
        CODE_INVALID_CONFIG: ConfigRefused,
        8: RequestRefused,
        11: Unavailable,  # try again later
        50: Unavailable,  # not available for an ADD
        51: Unavailable,  # not available, and connectivity is limited
    }
)
