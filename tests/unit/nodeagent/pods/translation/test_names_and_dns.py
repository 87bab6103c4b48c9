"""Host names, /etc/hosts and resolv.conf."""

import os
from pathlib import Path
from typing import Any

import pytest
from lightkube.models.core_v1 import HostAlias

from nodeagent.pods.translation.dns import DNSSettings, DNSWarning, Resolver, dns_config, parse_resolv_conf
from nodeagent.pods.translation.hostname import HostnameError, PodHostname, pod_hostname
from nodeagent.pods.translation.hosts import host_network_content, hosts_content, write_hosts
from proto import cri_pb2 as cri

HOST = Resolver(servers=("1.1.1.1", "8.8.8.8"), searches=("corp.example",), options=("timeout:1", "rotate"))
SETTINGS = DNSSettings(cluster_dns=("10.96.0.10",), cluster_domain="cluster.local", host=HOST, node_ips=("10.0.0.1",))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, ("p", "", "p")),
        ({"hostname": "web"}, ("web", "", "web")),
        ({"hostname": "web", "subdomain": "s"}, ("web", "s.ns.svc.cluster.local", "web")),
        (
            {"subdomain": "s", "setHostnameAsFQDN": True},
            ("p", "s.ns.svc.cluster.local", "p.s.ns.svc.cluster.local"),
        ),
        ({"setHostnameAsFQDN": True}, ("p", "", "p")),
        (
            {"hostnameOverride": "other.name", "subdomain": "s", "setHostnameAsFQDN": True},
            ("other.name", "", "other.name"),
        ),
        ({"hostnameOverride": "x" * 70}, ("x" * 63, "", "x" * 63)),
    ],
)
def test_host_names(pod_of: Any, spec: dict[str, Any], expected: tuple[str, str, str]) -> None:
    """Host, domain and the kernel's name."""
    host, domain, kernel = expected
    assert pod_hostname(pod_of(spec), "cluster.local") == PodHostname(host=host, domain=domain, kernel=kernel)


def test_long_pod_names_are_cut_cleanly(pod_of: Any) -> None:
    """63 characters, without a trailing dash or dot."""
    assert pod_hostname(pod_of(name="a" * 61 + "-.b"), "cluster.local").host == "a" * 61


def test_an_fqdn_must_fit_into_the_kernel(pod_of: Any) -> None:
    """More than 64 characters cannot be a host name."""
    pod = pod_of({"hostname": "h" * 40, "subdomain": "sub", "setHostnameAsFQDN": True})
    fqdn = f"{'h' * 40}.sub.ns.svc.cluster.local"
    with pytest.raises(HostnameError) as caught:
        pod_hostname(pod, "cluster.local")
    assert str(caught.value) == (
        f"failed to construct FQDN from pod hostname and cluster domain, FQDN {fqdn} is too long "
        f"(64 characters is the max, {len(fqdn)} characters requested)"
    )


def test_hosts_file_of_a_pod_with_its_own_network() -> None:
    """Loopback names, one line per pod IP with domain and host, then the aliases."""
    aliases = [HostAlias(ip="1.2.3.4", hostnames=["a", "b"]), HostAlias(ip="5.6.7.8", hostnames=["c"])]
    assert hosts_content(["10.1.0.2", "fd00::2"], "web", "s.ns.svc.cluster.local", aliases) == (
        "# Kubernetes-managed hosts file.\n"
        "127.0.0.1\tlocalhost\n"
        "::1\tlocalhost ip6-localhost ip6-loopback\n"
        "fe00::0\tip6-localnet\n"
        "fe00::0\tip6-mcastprefix\n"
        "fe00::1\tip6-allnodes\n"
        "fe00::2\tip6-allrouters\n"
        "10.1.0.2\tweb.s.ns.svc.cluster.local\tweb\n"
        "fd00::2\tweb.s.ns.svc.cluster.local\tweb\n"
        "\n"
        "# Entries added by HostAliases.\n"
        "1.2.3.4\ta\tb\n"
        "5.6.7.8\tc\n"
    )


def test_hosts_file_without_domain_and_aliases() -> None:
    """The host alone, and no alias section."""
    assert hosts_content(["10.1.0.2"], "web", "", ()).endswith("fe00::2\tip6-allrouters\n10.1.0.2\tweb\n")


def test_hosts_file_on_the_nodes_network() -> None:
    """The node's own file, marked, and the aliases."""
    assert host_network_content("127.0.0.1 localhost\n", [HostAlias(ip="1.2.3.4", hostnames=["a"])]) == (
        "# Kubernetes-managed hosts file (host network).\n"
        "127.0.0.1 localhost\n"
        "\n# Entries added by HostAliases.\n1.2.3.4\ta\n"
    )


def test_the_hosts_file_is_written_in_place(tmp_path: Path) -> None:
    """A container that holds the old file sees the new content, shorter or longer; equal content is not written."""
    path = tmp_path / "pod/etc-hosts"
    assert write_hosts(path, "a long first line\n")
    with open(path) as held:
        assert write_hosts(path, "short\n")
        assert held.read() == "short\n"
    inode = path.stat().st_ino
    assert not write_hosts(path, "short\n")
    assert write_hosts(path, "short\nand more\n")
    assert (path.read_text(), path.stat().st_ino, path.stat().st_mode & 0o777) == ("short\nand more\n", inode, 0o644)


def test_the_hosts_file_is_no_link(tmp_path: Path) -> None:
    """Nothing is written through a symbolic link, or into a folder: the file takes their place."""
    (tmp_path / "victim").write_text("x")
    os.symlink(tmp_path / "victim", tmp_path / "etc-hosts")
    (tmp_path / "folder" / "etc-hosts" / "x").mkdir(parents=True)
    for path in (tmp_path / "etc-hosts", tmp_path / "folder" / "etc-hosts"):
        assert write_hosts(path, "new")
        assert (path.is_symlink(), path.read_text()) == (False, "new")
    assert (tmp_path / "victim").read_text() == "x"


def test_parsing_resolv_conf() -> None:
    """Servers add up, the last search line counts, options merge by name, comments and trailing dots are dropped."""
    text = """
# comment
; another
nameserver 1.1.1.1
nameserver fd00::1
search old.example
options ndots:2 rotate
search a.example. . b.example
options ndots:5 timeout:1
nameserver
domain ignored
"""
    assert parse_resolv_conf(text) == Resolver(
        servers=("1.1.1.1", "fd00::1"),
        searches=("a.example", "b.example"),
        options=("ndots:5", "rotate", "timeout:1"),
    )


CLUSTER = cri.DNSConfig(
    servers=["10.96.0.10"],
    searches=["ns.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp.example"],
    options=["ndots:5"],
)
OF_HOST = cri.DNSConfig(servers=HOST.servers, searches=HOST.searches, options=HOST.options)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, CLUSTER),
        ({"dnsPolicy": "ClusterFirst"}, CLUSTER),
        ({"dnsPolicy": "ClusterFirst", "hostNetwork": True}, OF_HOST),
        ({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": True}, CLUSTER),
        ({"dnsPolicy": "Default"}, OF_HOST),
        ({"dnsPolicy": "None"}, cri.DNSConfig()),
        (
            {
                "dnsPolicy": "None",
                "dnsConfig": {
                    "nameservers": ["9.9.9.9", "9.9.9.9"],
                    "searches": ["x"],
                    "options": [{"name": "ndots", "value": "1"}, {"name": "edns0"}],
                },
            },
            cri.DNSConfig(servers=["9.9.9.9"], searches=["x"], options=["ndots:1", "edns0"]),
        ),
        (
            {
                "dnsPolicy": "Default",
                "dnsConfig": {"nameservers": ["9.9.9.9"], "options": [{"name": "timeout", "value": "9"}]},
            },
            cri.DNSConfig(
                servers=["1.1.1.1", "8.8.8.8", "9.9.9.9"], searches=["corp.example"], options=["timeout:9", "rotate"]
            ),
        ),
    ],
)
def test_dns_policies(pod_of: Any, spec: dict[str, Any], expected: cri.DNSConfig) -> None:
    """Each policy's servers, searches and options, with the pod's own merged in."""
    assert dns_config(pod_of(spec), SETTINGS) == (expected, ())


def test_without_cluster_dns_the_default_is_used(pod_of: Any) -> None:
    """And the pod's owner is told."""
    config, warnings = dns_config(pod_of(), DNSSettings(host=HOST))
    assert config == OF_HOST
    assert warnings == (
        DNSWarning(
            reason="MissingClusterDNS",
            message='pod: "p_ns(u)". kubelet does not have ClusterDNS IP configured and cannot create Pod using '
            '"ClusterFirst" policy. Falling back to "Default" policy.',
        ),
    )


def test_a_node_without_a_resolver_file(pod_of: Any) -> None:
    """The node itself is asked, by the loopback address of each of its families."""
    settings = DNSSettings(node_ips=("10.0.0.1", "fd00::1"))
    config, _ = dns_config(pod_of({"dnsPolicy": "Default"}), settings)
    assert config == cri.DNSConfig(servers=["127.0.0.1", "::1"], searches=["."])


def test_without_a_cluster_domain_only_the_hosts_searches_remain(pod_of: Any) -> None:
    """Cluster servers and options are used all the same."""
    config, _ = dns_config(pod_of(), DNSSettings(cluster_dns=("10.96.0.10",), host=HOST))
    assert config == cri.DNSConfig(servers=["10.96.0.10"], searches=["corp.example"], options=["ndots:5"])


def test_too_many_servers_are_cut(pod_of: Any) -> None:
    """Three are kept, and the event names them."""
    servers = [f"10.0.0.{number}" for number in range(1, 6)]
    config, warnings = dns_config(pod_of({"dnsPolicy": "None", "dnsConfig": {"nameservers": servers}}), SETTINGS)
    assert list(config.servers) == servers[:3]
    assert warnings == (
        DNSWarning(
            reason="DNSConfigForming",
            message="Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line "
            "is: 10.0.0.1 10.0.0.2 10.0.0.3",
        ),
    )


@pytest.mark.parametrize(
    ("searches", "kept"),
    [
        ([f"d{number}" for number in range(40)], 32),
        (["x" * 253] * 1, 1),
        (["x" * 254, "ok"], 1),
        ([f"{number:03}" + "y" * 247 for number in range(10)], 8),
    ],
)
def test_too_many_searches_are_cut(pod_of: Any, searches: list[str], kept: int) -> None:
    """32 entries of at most 253 characters, 2048 in all."""
    pod = pod_of({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["9.9.9.9"], "searches": searches}})
    config, warnings = dns_config(pod, SETTINGS)
    assert len(config.searches) == kept
    assert bool(warnings) == (kept != len(searches))
    if warnings:
        assert warnings[0].message == (
            "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: "
            + " ".join(config.searches)
        )
