"""What a container finds inside: variables, names, resolver, hosts, and what it may leave as its last words
(docs/facts/pod-lifecycle.md 10, 12 and 14)."""

import base64
import json
from typing import Any

import pytest
from node_under_test import NodeUnderTest, eventually
from pods_under_test import container, finished, log_when, make_pod, shell, status_of

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("lifecycle-environment")]

END = "\necho END\nsleep 100000"


@pytest.fixture(scope="module", autouse=True)
def pods(node: NodeUnderTest) -> None:
    """All pods of this file, begun at once."""
    node.kubectl("create", "configmap", "words", "--from-literal=one=1", "--from-literal=both=map")
    node.kubectl("create", "secret", "generic", "words", "--from-literal=two=2", "--from-literal=both=secret")
    ports = [{"name": "web", "port": 80, "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"}]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "my-web"}, "spec": {"ports": ports}}
    node.apply(service)
    node.kubectl("wait", "--for=jsonpath={.spec.clusterIP}", "service/my-web", "--timeout=20s", check=False)
    env = [
        {"name": "FIRST", "value": "a"},
        {"name": "EXPANDED", "value": "$(FIRST)-$(M_one)-$(UNKNOWN)-$$(FIRST)"},
        {"name": "FIRST", "value": "b"},
        {"name": "M_both", "value": "env"},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['tier']"}}},
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
        {"name": "MIB", "valueFrom": {"resourceFieldRef": {"resource": "requests.memory", "divisor": "1Mi"}}},
        {"name": "CORES", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        {"name": "MAYBE", "valueFrom": {"configMapKeyRef": {"name": "absent", "key": "k", "optional": True}}},
    ]
    resources = {"limits": {"cpu": "250m", "memory": "64Mi"}, "requests": {"memory": "40Mi"}}
    sources = [{"prefix": "M_", "configMapRef": {"name": "words"}}, {"prefix": "M_", "secretRef": {"name": "words"}}]
    last = "echo from the log; echo -n {0} > {1}; exit {2}"
    node.apply(
        make_pod(
            "variables",
            shell("c", "env | sort" + END, env=env, envFrom=sources, resources=resources),
            metadata={"labels": {"tier": "front"}},
        ),
        make_pod(
            "named",
            shell("c", "hostname; hostname -f; cat /etc/hosts /etc/resolv.conf" + END),
            hostname="box",
            subdomain="group",
            setHostnameAsFQDN=True,
            hostAliases=[{"ip": "192.0.2.7", "hostnames": ["seven", "sieben"]}],
        ),
        make_pod(
            "own-dns",
            shell("c", "cat /etc/resolv.conf" + END),
            dnsPolicy="None",
            dnsConfig={
                "nameservers": ["192.0.2.53"],
                "searches": ["a.example", "b.example"],
                "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
            },
        ),
        make_pod("said", shell("c", last.format("bye", "/dev/termination-log", 3)), restartPolicy="Never"),
        make_pod(
            "said-elsewhere",
            shell("c", last.format("there", "/tmp/x", 0), terminationMessagePath="/tmp/x"),
            restartPolicy="Never",
        ),
        make_pod(
            "silent",
            shell("c", "echo only the log; exit 4", terminationMessagePolicy="FallbackToLogsOnError"),
            restartPolicy="Never",
        ),
        make_pod(
            "talkative",
            shell("c", "head -c 20000 /dev/zero | tr '\\0' x > /dev/termination-log; exit 1"),
            restartPolicy="Never",
        ),
        make_pod(
            "long-log",
            shell("c", "seq 1 500; exit 1", terminationMessagePolicy="FallbackToLogsOnError"),
            restartPolicy="Never",
        ),
    )


def lines_of(node: NodeUnderTest, name: str) -> list[str]:
    return log_when(node, name, lambda text: "END" in text).splitlines()


def test_variables(node: NodeUnderTest) -> None:
    """Later wins over earlier and `env` over `envFrom`; expansion sees what stands before; fields, resources with divisors,
    and the services of the namespace; what is optional and absent is no variable."""
    found = dict(line.split("=", 1) for line in lines_of(node, "variables") if "=" in line)
    pod = node.pod("variables")
    wanted = {
        "FIRST": "b",
        "EXPANDED": "a-1-$(UNKNOWN)-$(FIRST)",
        "M_one": "1",
        "M_two": "2",
        "M_both": "env",
        "NODE": node.name,
        "IP": pod["status"]["podIP"],
        "LABEL": "front",
        "CPU": "250",
        "CORES": "1",
        "MIB": "40",
    }
    assert {name: found.get(name) for name in wanted} == wanted
    assert "MAYBE" not in found
    address = node.kubectl("get", "service", "my-web", "-o", "jsonpath={.spec.clusterIP}")
    services = {
        "MY_WEB_SERVICE_HOST": address,
        "MY_WEB_SERVICE_PORT": "80",
        "MY_WEB_SERVICE_PORT_DNS": "53",
        "MY_WEB_PORT": f"tcp://{address}:80",
        "MY_WEB_PORT_53_UDP": f"udp://{address}:53",
        "MY_WEB_PORT_53_UDP_PROTO": "udp",
    }
    assert {name: found.get(name) for name in services} == services


def test_names(node: NodeUnderTest) -> None:
    """The kernel's name is the full one; /etc/hosts is the managed file with the pod's names and aliases; the resolver asks the
    cluster's server with the namespace's search path."""
    lines = lines_of(node, "named")
    full = "box.group.default.svc.cluster.local"
    assert lines[:2] == [full, full]
    ip = node.pod("named")["status"]["podIP"]
    assert "# Kubernetes-managed hosts file." in lines
    assert f"{ip}\t{full}\tbox" in lines
    assert lines[lines.index("# Entries added by HostAliases.") + 1] == "192.0.2.7\tseven\tsieben"
    assert "nameserver 10.96.0.10" in lines
    assert "options ndots:5" in lines
    search = next(line for line in lines if line.startswith("search "))
    assert search.split()[1:4] == ["default.svc.cluster.local", "svc.cluster.local", "cluster.local"]


def test_a_resolver_of_its_own(node: NodeUnderTest) -> None:
    """dnsPolicy None: what dnsConfig says, and nothing else."""
    lines = [line for line in lines_of(node, "own-dns") if line and line != "END"]
    assert sorted(lines) == sorted(["nameserver 192.0.2.53", "search a.example b.example", "options ndots:2 edns0"])


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [("said", 3, "bye"), ("said-elsewhere", 0, "there"), ("silent", 4, "only the log\n")],
)
def test_last_words(node: NodeUnderTest, name: str, code: int, message: str) -> None:
    """The file's contents, wherever it is; the log's end where the policy says so and the file is empty."""
    ended = status_of(node.pod_when(name, finished))["state"]["terminated"]
    assert (ended["exitCode"], ended["message"]) == (code, message)


def test_limits_of_last_words(node: NodeUnderTest) -> None:
    """4096 bytes of the file; 80 lines of the log."""
    assert status_of(node.pod_when("talkative", finished))["state"]["terminated"]["message"] == "x" * 4096
    ended = status_of(node.pod_when("long-log", finished))["state"]["terminated"]
    assert ended["message"].split() == [str(number) for number in range(421, 501)]


SOON_SECONDS = 30  # well below the 60 to 90 s after which volumes are looked at anyway


def content(node: NodeUnderTest, path: str) -> str:
    """Files as the container sees them, one after the other; nothing of those that are not there."""
    return node.kubectl("exec", "follows", "--", "sh", "-c", f"cat {path} 2>/dev/null; true")


def becomes(node: NodeUnderTest, path: str, expected: str) -> None:
    eventually(lambda: content(node, path) == expected, f"{path}: {expected!r}", SOON_SECONDS)


def test_volumes_follow_what_they_are_made_from(node: NodeUnderTest) -> None:
    """Changed objects and labels reach a running pod's files by the watch, of every kind of volume; so do optional objects that
    come and go, and an object that had gone. The environment and subPaths stay as they were at the start."""
    for name in ("moving", "leaving"):
        node.kubectl("create", "configmap", name, "--from-literal=k=old")
    node.kubectl("create", "secret", "generic", "moving", "--from-literal=k=old")
    label = {"path": "l", "fieldRef": {"fieldPath": "metadata.labels['tier']"}}
    volumes: list[dict[str, Any]] = [
        {"name": "map", "configMap": {"name": "moving"}},
        {"name": "secret", "secret": {"secretName": "moving"}},
        {"name": "own", "downwardAPI": {"items": [label]}},
        {"name": "later", "configMap": {"name": "later", "optional": True}},
        {
            "name": "all",
            "projected": {
                "sources": [
                    {"configMap": {"name": "moving", "items": [{"key": "k", "path": "map"}]}},
                    {"secret": {"name": "moving", "items": [{"key": "k", "path": "secret"}]}},
                    {"secret": {"name": "later", "optional": True, "items": [{"key": "k", "path": "later"}]}},
                    {"downwardAPI": {"items": [label]}},
                ]
            },
        },
        {"name": "leaving", "configMap": {"name": "leaving"}},
    ]
    mounts = [{"name": item["name"], "mountPath": f"/{item['name']}"} for item in volumes]
    mounts.append({"name": "map", "mountPath": "/single", "subPath": "k"})
    env = [{"name": "E", "valueFrom": {"configMapKeyRef": {"name": "moving", "key": "k"}}}]
    node.apply(
        make_pod(
            "follows",
            container("c", volumeMounts=mounts, env=env),
            volumes=volumes,
            metadata={"labels": {"tier": "old"}},
        )
    )
    node.running("follows")

    node.kubectl("patch", "configmap", "moving", "-p", json.dumps({"data": {"k": "new"}}))
    becomes(node, "/map/k /all/map", "newnew")
    node.kubectl("patch", "secret", "moving", "-p", json.dumps({"data": {"k": base64.b64encode(b"new").decode()}}))
    becomes(node, "/secret/k /all/secret", "newnew")
    node.kubectl("label", "--overwrite", "pod", "follows", "tier=new")
    becomes(node, "/own/l /all/l", "newnew")
    node.kubectl("create", "configmap", "later", "--from-literal=k=here")
    node.kubectl("create", "secret", "generic", "later", "--from-literal=k=here")
    becomes(node, "/later/k /all/later", "herehere")
    node.kubectl("delete", "configmap/later", "secret/later")
    becomes(node, "/later/k /all/later", "")
    # one that must not go leaves the old files, with an event, and is taken up at once when it is back
    node.kubectl("delete", "configmap", "leaving")
    expected = 'MountVolume.SetUp failed for volume "leaving" : configmap "leaving" not found'
    assert node.event_when("follows", "FailedMount") == expected
    assert content(node, "/leaving/k") == "old"
    node.kubectl("create", "configmap", "leaving", "--from-literal=k=back")
    becomes(node, "/leaving/k", "back")
    assert content(node, "/single; echo $E") == "oldold\n"
    assert content(node, "/map/..data/k") == "new"
    assert status_of(node.pod("follows"))["restartCount"] == 0
