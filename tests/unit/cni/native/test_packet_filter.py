"""Which packet filter is chosen, and what the operator reads about it."""

import errno
import logging
import shutil
from typing import Any

import pytest

from cni.native import packet_filter
from cni.native.iptables_rules import IptablesRules
from cni.native.nftables.errors import NftablesError, NftablesUnavailable
from cni.native.nftables_rules import NftablesRules


@pytest.fixture
def kernel_says(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A kernel that answers the making of the table with an errno."""

    def set_answer(number: int, *, iptables: bool) -> None:
        def prepare(_: NftablesRules) -> None:
            raise NftablesUnavailable(NftablesError("chain prerouting of table nodeagent", number))

        monkeypatch.setattr(NftablesRules, "prepare", prepare)
        monkeypatch.setattr(shutil, "which", lambda name: f"/usr/sbin/{name}" if iptables else None)

    return set_answer


def test_without_nf_tables(kernel_says: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The iptables programs, said once with the reason and the way out."""
    kernel_says(errno.EOPNOTSUPP, iptables=True)
    with caplog.at_level(logging.WARNING):
        assert isinstance(packet_filter.choose_rules(), IptablesRules)
    (record,) = caplog.records
    assert "chain prerouting of table nodeagent: Operation not supported (ENOTSUP)" in record.message
    assert "modprobe" in record.message
    assert record.message.endswith("until then host ports and masquerade are made by the iptables programs")


@pytest.mark.parametrize(("number", "iptables"), [(errno.EOPNOTSUPP, False), (errno.EPERM, True)])
def test_nothing_that_could_help(kernel_says: Any, number: int, iptables: bool) -> None:
    """No programs either, or no right, which they would not have as well: refused."""
    kernel_says(number, iptables=iptables)
    with pytest.raises(NftablesUnavailable):
        packet_filter.choose_rules()
