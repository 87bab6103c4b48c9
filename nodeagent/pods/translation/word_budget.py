"""How much text a container's environment and command line may be: far more than any kernel starts, far less than a machine.

Linux takes 128 KiB in one word and, with the usual stack of 8 MiB, 2 MiB in all; so nothing that could run is refused.
"""

from dataclasses import dataclass, field

from nodeagent.podspec.expansion import size_bytes

MAX_WORD_BYTES = 1024 * 1024
MAX_BYTES = 2 * 1024 * 1024
MAX_SET = MAX_BYTES // 8  # how often a variable may be set: each costs the kernel a pointer


class OverBudget(ValueError):
    """The text is the user's: what is too large."""


@dataclass(slots=True)
class WordBudget:
    """What has been taken so far. A variable that is set again gives back what it had."""

    _variables: dict[str, int] = field(default_factory=dict)
    _total: int = 0
    _set: int = 0

    def check(self, what: str, *parts: str) -> None:
        """Before the parts are put together. Raises OverBudget."""
        if sum(map(size_bytes, parts)) > MAX_WORD_BYTES:
            raise OverBudget(f"{what} is larger than {MAX_WORD_BYTES} bytes")

    def variable(self, name: str, value: str) -> None:
        """Raises OverBudget."""
        self._set += 1
        if self._set > MAX_SET:
            raise OverBudget(f"environment variables are set more than {MAX_SET} times")
        self.check(f"environment variable {name[:64]}", name, value)
        size = size_bytes(name) + size_bytes(value)
        self._take(size - self._variables.get(name, 0))
        self._variables[name] = size

    def word(self, what: str, text: str) -> None:
        """Raises OverBudget."""
        self.check(what, text)
        self._take(size_bytes(text))

    def _take(self, size: int) -> None:
        if self._total + size > MAX_BYTES:
            raise OverBudget(f"environment and command line are larger than {MAX_BYTES} bytes in all")
        self._total += size
