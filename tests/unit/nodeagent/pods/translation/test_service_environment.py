"""Service variables in all their forms."""

from typing import Any

import msgspec
import pytest
from lightkube.models.core_v1 import Service

from nodeagent.pods.translation.env_file import EnvFileError, parse_env_file
from nodeagent.pods.translation.service_environment import service_variables


def service(name: str, ip: str | None, *ports: dict[str, Any], namespace: str = "ns") -> Service:
    return msgspec.convert(
        {"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterIP": ip, "ports": list(ports)}}, Service
    )


def test_variables_of_a_service_with_named_ports() -> None:
    """Host, first port, named ports, and the link variables of each port."""
    found = service_variables(
        [service("my-db", "10.0.0.1", {"name": "sql-x", "port": 5432}, {"name": "m", "port": 53, "protocol": "UDP"})],
        "ns",
        links=True,
    )
    assert found == {
        "MY_DB_SERVICE_HOST": "10.0.0.1",
        "MY_DB_SERVICE_PORT": "5432",
        "MY_DB_SERVICE_PORT_SQL_X": "5432",
        "MY_DB_SERVICE_PORT_M": "53",
        "MY_DB_PORT": "tcp://10.0.0.1:5432",
        "MY_DB_PORT_5432_TCP": "tcp://10.0.0.1:5432",
        "MY_DB_PORT_5432_TCP_PROTO": "tcp",
        "MY_DB_PORT_5432_TCP_PORT": "5432",
        "MY_DB_PORT_5432_TCP_ADDR": "10.0.0.1",
        "MY_DB_PORT_53_UDP": "udp://10.0.0.1:53",
        "MY_DB_PORT_53_UDP_PROTO": "udp",
        "MY_DB_PORT_53_UDP_PORT": "53",
        "MY_DB_PORT_53_UDP_ADDR": "10.0.0.1",
    }


def test_ipv6_addresses_are_bracketed_in_urls_only() -> None:
    """The host variable is the plain address."""
    found = service_variables([service("a", "fd00::1", {"port": 80})], "ns", links=True)
    assert (found["A_SERVICE_HOST"], found["A_PORT"], found["A_PORT_80_TCP_ADDR"]) == (
        "fd00::1",
        "tcp://[fd00::1]:80",
        "fd00::1",
    )


def test_which_services_count() -> None:
    """kubernetes in default always; those of the pod's namespace with links; never headless ones or other namespaces'."""
    listed = [
        service("kubernetes", "10.0.0.1", {"port": 443}, namespace="default"),
        service("web", "10.0.0.2", {"port": 80}),
        service("headless", "None", {"port": 80}),
        service("external", None),
        service("other", "10.0.0.3", {"port": 80}, namespace="elsewhere"),
        service("other", "10.0.0.4", {"port": 80}, namespace="default"),
    ]

    def hosts(*, links: bool) -> dict[str, str]:
        found = service_variables(listed, "ns", links=links)
        return {name: value for name, value in found.items() if name.endswith("_HOST")}

    assert hosts(links=False) == {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    assert hosts(links=True) == {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "WEB_SERVICE_HOST": "10.0.0.2"}


def test_the_namespaces_own_service_wins() -> None:
    """A service called kubernetes in the pod's namespace hides the API's, whatever the order."""
    master = service("kubernetes", "10.0.0.1", {"port": 443}, namespace="default")
    own = service("kubernetes", "10.0.0.2", {"port": 443})
    for listed in ([master, own], [own, master]):
        assert service_variables(listed, "ns", links=True)["KUBERNETES_SERVICE_HOST"] == "10.0.0.2"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("A='1'\nB='two words'\n", {"A": "1", "B": "two words"}),
        ("# comment\n\n  # indented\nA='x' # after\n", {"A": "x"}),
        ("A='line 1\nline 2'\nB='$(A) \"q\"'", {"A": "line 1\nline 2", "B": '$(A) "q"'}),
        ("EMPTY=\nA=''", {"EMPTY": "", "A": ""}),
        ("A= ", {"A": ""}),
        ("A='1'\r\nA='2'\r\n", {"A": "2"}),
    ],
)
def test_env_files(text: str, expected: dict[str, str]) -> None:
    """Values in single quotes, over several lines if need be; the last of a name wins."""
    assert parse_env_file(text) == expected


@pytest.mark.parametrize(
    ("text", "line"),
    [("A=1", 1), ('A="1"', 1), ("ok='1'\nA ='1'", 2), ("A='open", 1), ("just words", 1), (" A='1'", 1), ("A='1'x", 1)],
)
def test_other_formats_are_refused(text: str, line: int) -> None:
    """No double quotes, no bare values, no blanks before the equals sign; the line is named."""
    with pytest.raises(EnvFileError, match=f"line {line}: expected NAME='value'"):
        parse_env_file(text)
