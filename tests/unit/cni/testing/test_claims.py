"""What is missing fails a check where the configuration asks for it, and skips it where not."""

import json
from typing import Any

import pytest

from cni import config
from cni.config import NetworkConfig
from cni.testing import claims


def network(*ipams: Any) -> NetworkConfig:
    plugins = [{"type": "x", "ipam": ipam} for ipam in ipams] + [{"type": "chained"}]
    return config.parse(json.dumps({"cniVersion": "1.0.0", "name": "n", "plugins": plugins}).encode())


@pytest.mark.parametrize(
    ("ipam", "addresses", "ipv6", "routes"),
    [
        (None, False, False, False),
        ({}, False, False, False),
        ({"type": "dhcp"}, True, False, False),
        ({"type": "host-local", "subnet": "10.0.0.0/24", "routes": []}, True, False, False),
        ({"type": "host-local", "subnet": "fd00::/64", "routes": [{"dst": "::/0"}]}, True, True, True),
        ({"type": "host-local", "ranges": [[{"subnet": "10.0.0.0/24"}], [{"subnet": "fd00::/64"}]]}, True, True, False),
    ],
)
def test_what_a_configuration_asks_for(ipam: Any, addresses: bool, ipv6: bool, routes: bool) -> None:
    asked = network(ipam)
    assert (claims.addresses(asked), claims.ipv6(asked), claims.routes(asked)) == (addresses, ipv6, routes)


@pytest.mark.parametrize(
    ("plugins", "snat", "missing"),
    [
        ([{"type": "bridge", "hairpinMode": True}, {"type": "portmap"}], True, ""),
        ([{"type": "bridge"}, {"type": "portmap"}], True, "the bridge has no hairpinMode"),
        ([{"type": "ptp"}, {"type": "portmap"}], True, ""),
        ([{"type": "mine", "hairpinMode": False}], True, "the bridge has no hairpinMode"),
        ([{"type": "ptp"}, {"type": "portmap", "snat": False}], False, "snat is turned off"),
    ],
)
def test_who_comes_back_to_himself(plugins: Any, snat: bool, missing: str) -> None:
    """A pod's way to its own port is claimed with source NAT, and over a bridge with hairpinMode."""
    asked = config.parse(json.dumps({"cniVersion": "1.0.0", "name": "n", "plugins": plugins}).encode())
    assert (claims.source_nat(asked), claims.not_led_back(asked)) == (snat, missing)


def test_nothing_is_there() -> None:
    """A plugin that was asked and gave nothing has not passed."""
    assert claims.found(("10.0.0.2",), "addresses", claimed=True) == ("10.0.0.2",)
    assert claims.found(("10.0.0.2",), "addresses", claimed=False) == ("10.0.0.2",)
    with pytest.raises(AssertionError, match="asks for addresses, and there are none"):
        claims.found((), "addresses", claimed=True)
    with pytest.raises(pytest.skip.Exception, match="not claimed: the network gives no addresses"):
        claims.found((), "addresses", claimed=False)
