"""Who hears of calls of the API, and of credential plugins: to count them. Both are told as things happen, and must be quick."""

from datetime import datetime
from typing import Protocol

from typing_extensions import override


class CallObserver(Protocol):
    """Of one server. `verb`: the HTTP method. `code`: of the answer, `<error>` where there was none."""

    def waited(self, verb: str, seconds: float) -> None:
        """A call has had its turn by the rate limit; a client without one tells nothing."""

    def answered(self, verb: str, code: str) -> None:
        """One attempt of a call, or a watch, got its headers, or none."""

    def retried(self, verb: str, code: str) -> None:
        """An attempt after a call's first has ended so."""

    def received(self, verb: str, size_bytes: int) -> None:
        """The body of an answer to a call."""

    def ended(self, verb: str, seconds: float, sent_bytes: int) -> None:
        """A call is over, after all its waits and attempts; `sent_bytes`: of its body. Watches are no calls."""

    def resolved(self, host: str, seconds: float) -> None:
        """Name servers were asked for a host, and answered or not."""


class PluginObserver(Protocol):
    """Of one exec credential plugin."""

    def called(self, code: int, status: str) -> None:
        """It ran. `code`: its exit status; 1 where it could not run. `status`: no_error, plugin_execution_error,
        plugin_not_found_error or client_internal_error."""

    def has_certificate(self, ends_at: datetime | None) -> None:
        """What it gave has a client certificate until then; None: it has none."""

    def replaced_certificate(self, age_seconds: float) -> None:
        """It gave another client certificate, after so long a life of the one before."""


class Unobserved(CallObserver, PluginObserver):
    """Nobody counts."""

    @override
    def waited(self, verb: str, seconds: float) -> None:
        return None

    @override
    def answered(self, verb: str, code: str) -> None:
        return None

    @override
    def retried(self, verb: str, code: str) -> None:
        return None

    @override
    def received(self, verb: str, size_bytes: int) -> None:
        return None

    @override
    def ended(self, verb: str, seconds: float, sent_bytes: int) -> None:
        return None

    @override
    def resolved(self, host: str, seconds: float) -> None:
        return None

    @override
    def called(self, code: int, status: str) -> None:
        return None

    @override
    def has_certificate(self, ends_at: datetime | None) -> None:
        return None

    @override
    def replaced_certificate(self, age_seconds: float) -> None:
        return None


UNOBSERVED = Unobserved()
