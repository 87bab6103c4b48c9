"""What a target of the fuzzer is: a reader of bytes from outside, and what it may do with them."""

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st

Errors = tuple[type[BaseException], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """`run(data)` returns, or raises one of `allowed`: the errors that its callers promise to handle. Anything else is a find,
    and so is more time or memory than `Budget` grants.

    `inputs`: bytes as the reader's grammar has them. `words`: pieces to mutate with.
    """

    name: str
    run: Callable[[bytes], object]
    inputs: st.SearchStrategy[bytes]
    allowed: Errors = ()
    words: tuple[bytes, ...] = ()
    largest_bytes: int = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """CPU seconds for an input, in proportion to its length, and the address space beyond what the process had before."""

    base_seconds: float = 1.0
    seconds_per_byte: float = 20e-6
    memory_bytes: int = 512 << 20

    def seconds(self, data: bytes) -> float:
        return self.base_seconds + self.seconds_per_byte * len(data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Find:
    """A broken promise. `place`: the innermost frame that is ours; finds of one kind and place are one."""

    target: str
    kind: str
    place: str
    text: str
    data: bytes

    @property
    def key(self) -> tuple[str, str]:
        return self.kind, self.place
