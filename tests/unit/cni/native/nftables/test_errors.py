"""What the operator reads when the kernel's packet filter does not do it."""

import errno

import pytest

from cni.native.nftables.errors import NftablesError, NftablesUnavailable, is_lack


def test_an_error_says_what_and_why() -> None:
    """What it is about, the errno by name, the kernel's own words."""
    error = NftablesError("table nodeagent", errno.EBUSY, "in use")
    assert str(error) == "netfilter: table nodeagent: Device or resource busy (EBUSY): in use"


@pytest.mark.parametrize(
    ("number", "way_out"),
    [
        (errno.EPERM, "give the agent CAP_NET_ADMIN"),
        (errno.EOPNOTSUPP, "modprobe"),
        (errno.EPROTONOSUPPORT, "or install iptables"),
    ],
)
def test_what_is_missing_comes_with_the_way_out(number: int, way_out: str) -> None:
    """Rights are another matter than modules."""
    assert is_lack(NftablesError("chain x", number))
    assert way_out in str(NftablesUnavailable(NftablesError("chain x", number)))


def test_what_is_no_lack() -> None:
    """A kernel that is out of memory has nf_tables."""
    assert not is_lack(NftablesError("table x", errno.ENOMEM))
