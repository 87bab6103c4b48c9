"""What a command is about: the environment and the configuration, refused with the specification's codes."""

from typing import Any

import pytest

from cni.native.failure import Code, Failure
from cni.native.request import parse

ENVIRONMENT = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c1", "CNI_NETNS": "/run/netns/x", "CNI_IFNAME": "eth0"}
CONFIG = {"cniVersion": "1.0.0", "name": "net", "type": "nodeagent-cni"}


def test_a_command() -> None:
    """Names, and CNI_ARGS as pairs."""
    found = parse({**ENVIRONMENT, "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAME=x;IP=10.1.0.9/24;bad"}, CONFIG)
    assert (found.command, found.container_id, found.netns, found.ifname) == ("ADD", "c1", "/run/netns/x", "eth0")
    assert found.args == {"IgnoreUnknown": "1", "K8S_POD_NAME": "x", "IP": "10.1.0.9/24"}
    assert [str(ip) for ip in found.wanted_ips] == ["10.1.0.9"]


@pytest.mark.parametrize(
    ("environment", "config", "code", "message"),
    [
        ({"CNI_COMMAND": "add"}, {}, Code.INVALID_ENVIRONMENT, "CNI_COMMAND"),
        ({"CNI_CONTAINERID": "", "CNI_IFNAME": ""}, {}, Code.INVALID_ENVIRONMENT, "CNI_CONTAINERID,CNI_IFNAME"),
        ({"CNI_CONTAINERID": "-x"}, {}, Code.INVALID_ENVIRONMENT, "CNI_CONTAINERID"),
        ({"CNI_IFNAME": "sixteen-letters-"}, {}, Code.INVALID_ENVIRONMENT, "CNI_IFNAME"),
        ({"CNI_IFNAME": "."}, {}, Code.INVALID_ENVIRONMENT, "CNI_IFNAME"),
        ({}, {"name": "a/b"}, Code.INVALID_CONFIG, "name"),
        ({}, {"name": None}, Code.INVALID_CONFIG, "name"),
        ({}, {"cniVersion": "99.0.0"}, Code.INCOMPATIBLE_VERSION, "99"),
        ({}, {"cniVersion": None}, Code.INCOMPATIBLE_VERSION, "0.1.0"),
        ({"CNI_COMMAND": "CHECK"}, {"cniVersion": "0.3.1"}, Code.INCOMPATIBLE_VERSION, "CHECK"),
        ({"CNI_COMMAND": "GC"}, {}, Code.INCOMPATIBLE_VERSION, "GC"),
        ({"CNI_COMMAND": "STATUS"}, {}, Code.INCOMPATIBLE_VERSION, "STATUS"),
    ],
)
def test_refusals(environment: dict[str, str], config: dict[str, Any], code: Code, message: str) -> None:
    """Each with its code, and with what is wrong."""
    with pytest.raises(Failure, match=message) as caught:
        parse({**ENVIRONMENT, **environment}, {**CONFIG, **config})
    assert caught.value.code == code


@pytest.mark.parametrize("config", [[], "x", None])
def test_no_object(config: Any) -> None:
    """Is no configuration."""
    with pytest.raises(Failure) as caught:
        parse(ENVIRONMENT, config)
    assert caught.value.code == Code.DECODING


def test_who_says_the_hardware_address() -> None:
    """The runtime before the configuration before CNI_ARGS; what is none is refused."""
    runtime = {"runtimeConfig": {"mac": "02:00:00:00:00:01"}}
    args = {"args": {"cni": {"mac": "02:00:00:00:00:02", "ips": ["10.1.0.4"]}}}
    environment = {**ENVIRONMENT, "CNI_ARGS": "MAC=02:00:00:00:00:0A"}
    assert parse(environment, CONFIG | runtime | args).wanted_mac.endswith("01")
    assert parse(environment, CONFIG | args).wanted_mac.endswith("02")
    assert parse(environment, CONFIG).wanted_mac.endswith("0a")
    with pytest.raises(Failure, match="no hardware address"):
        _ = parse(ENVIRONMENT, CONFIG | {"runtimeConfig": {"mac": "02"}}).wanted_mac
    with pytest.raises(Failure, match="args is not a JSON object"):
        _ = parse(ENVIRONMENT, CONFIG | {"args": 1}).wanted_mac
