"""Options of sockets, on the kernel."""

import socket

import pytest

from runtimes.linux.sockets import allow_any_address


@pytest.mark.parametrize("family, address", [(socket.AF_INET, "192.0.2.77"), (socket.AF_INET6, "2001:db8::77")])
def test_an_address_that_may_come_later(family: socket.AddressFamily, address: str) -> None:
    """Without the option the kernel refuses an address that the machine does not have; with it the socket is bound."""
    with socket.socket(family) as refused, pytest.raises(OSError, match="assign requested address"):
        refused.bind((address, 0))
    with socket.socket(family) as bound:
        allow_any_address(bound)
        bound.bind((address, 0))
        assert bound.getsockname()[0] == address
