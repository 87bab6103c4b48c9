"""How much of what a command prints is kept."""

from collections.abc import AsyncIterator

from runtimes.oci.streaming import _collect

MIB = 1 << 20


async def endless(chunks: int) -> AsyncIterator[tuple[int, bytes]]:
    for _ in range(chunks):
        yield 1, b"o" * MIB
        yield 2, b"e" * 100


async def test_a_command_that_prints_without_end_fills_no_memory() -> None:
    """16 MiB of a stream are kept and the rest is dropped as it comes (CVE-2022-1708, CVE-2022-31030); the other is whole."""
    output = {1: bytearray(), 2: bytearray()}
    await _collect(endless(40), output)
    assert (len(output[1]), bytes(output[2])) == (16 * MIB, b"e" * 4000)
