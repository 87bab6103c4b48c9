"""Escapes by what an image or a volume puts in a runtime's way: links, devices, names. Real runc, crun and runsc."""

import gzip
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hand_made_images import make_layer
from node_under_test import NodeUnderTest, import_image, make_node
from pods_under_test import container, finished, log_of, make_pod, shell, state_of, status_of
from runtime_classes import on, runtime_class

from runtimes.image_archive import write_archive

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("security-escapes-images")]

RUNTIMES = ("runc", "crun", "gvisor")
PLACES = ("dev", "proc", "sys")
UP = "../" * 14


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the host that no pod has: what the links of the images lead to."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "secret").write_text("of the host\n")
    return folder


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, demo_image: Path, outside: Path) -> Iterator[NodeUnderTest]:
    """A node with hostile images in its store."""
    folder = tmp_path_factory.mktemp("escapes")
    made = make_node(folder)
    made.directory.mkdir()
    import_image(made, demo_image)
    base, climbing = _layer_of(demo_image), UP + str(outside).lstrip("/")
    entries: dict[str, list[tuple[Any, ...]]] = {
        name: [("file", f".wh.{name}", ""), ("symlink", name, climbing)] for name in PLACES
    }
    entries["links"] = [
        ("file", "etc/.wh.hosts", ""),
        ("symlink", "etc/hosts", f"{climbing}/hosts"),
        ("symlink", "etc/hostname", f"{outside}/hostname"),
        ("symlink", "etc/resolv.conf", f"{climbing}/secret"),
        ("symlink", "etc/mtab", f"{climbing}/mtab"),
        ("symlink", "away", climbing),
        ("symlink", "devices", "dev"),
        ("dir", "var/lib", ""),
    ]
    node_mode = {"mode": 0o666}
    entries["nodes"] = [
        ("char", "mem", "", {**node_mode, "device": (1, 1)}),
        ("char", "kmsg", "", {**node_mode, "device": (1, 11)}),
        ("char", "watchdog", "", {**node_mode, "device": (10, 130)}),
        ("fifo", "var/pipe", ""),
    ]
    for name, layer in entries.items():
        archive = folder / f"{name}.tar"
        layers, user = (base, make_layer(*layer)), {"User": "1000"} if name == "links" else {}
        write_archive(archive, layers, tag=f"localhost/{name}:1", config=user)
        import_image(made, archive)
    made.start()
    for name in RUNTIMES[1:]:
        made.apply(runtime_class(name))
    yield made
    made.clean()


def _layer_of(archive: Path) -> bytes:
    """The plain tar of an archive's only layer."""
    with tarfile.open(archive) as tar:

        def member(digest: str) -> bytes:
            return (tar.extractfile(f"blobs/{digest.replace(':', '/')}") or io.BytesIO()).read()

        index = json.load(tar.extractfile("index.json") or io.BytesIO())
        manifest = json.loads(member(index["manifests"][0]["digest"]))
        return gzip.decompress(member(manifest["layers"][0]["digest"]))


def once(name: str, runtime: str, script: str, image: str = "", **fields: Any) -> dict[str, Any]:
    """A pod that runs a script once, from an image of this module."""
    own = {"image": f"localhost/{image}:1", "imagePullPolicy": "Never"} if image else {}
    volumes = fields.pop("volumes", [])
    made = shell("c", script, **own, **fields)
    return make_pod(f"{name}-{runtime}", made, restartPolicy="Never", volumes=volumes, **on(runtime))


def settled(node: NodeUnderTest, name: str) -> tuple[str, str, Any]:
    """What became of a pod: ended, or refused for good."""
    pod = node.pod_when(name, lambda found: finished(found) or state_of(found)[1] == "CreateContainerError")
    return state_of(pod)


def held_out(outside: Path) -> list[str]:
    """What is in the host's folder by now."""
    assert (outside / "secret").read_text() == "of the host\n"
    return sorted(path.name for path in outside.iterdir())


@pytest.mark.parametrize("tty", [False, True], ids=["pipe", "terminal"])
def test_an_image_whose_dev_is_a_link(node: NodeUnderTest, outside: Path, tty: bool) -> None:
    """/dev, /proc or /sys of an image leads to the host: no runtime gets to see it, so that none makes devices, links or a
    console there (CVE-2026-41579, CVE-2023-27561, CVE-2019-19921, CVE-2019-18837)."""
    kind = "tty" if tty else "plain"
    pods = [once(f"{name}-{kind}", runtime, "true", name, tty=tty) for name in PLACES for runtime in RUNTIMES]
    node.apply(*pods)
    for name in PLACES:
        for runtime in RUNTIMES:
            found = settled(node, f"{name}-{kind}-{runtime}")
            assert found[:2] == ("waiting", "CreateContainerError")
            assert f"/{name} of the image is a symbolic link: refused" in found[2]
    assert held_out(outside) == ["secret"]


def test_volumes_where_the_runtime_writes(node: NodeUnderTest, outside: Path) -> None:
    """A volume cannot take the place of /dev, /proc, /sys or the root, by whatever name: masks are made of its /dev/null
    (CVE-2025-31133), consoles of its /dev/console (CVE-2025-52565, CVE-2026-88264), labels written to its /proc
    (CVE-2019-16884). The host's own /dev may be there."""
    empty = [{"name": "v", "emptyDir": {}}]
    hosts = [{"name": "v", "hostPath": {"path": "/dev"}}]
    paths = {"dev": "/dev", "slash": "/dev/", "linked": "/devices", "proc": "/proc", "sys": "/sys", "root": "/"}

    def mounted(path: str, **fields: Any) -> dict[str, Any]:
        return {"volumeMounts": [{"name": "v", "mountPath": path}], **fields}

    pods = [
        once(f"over-{name}", runtime, "true", "links" if name == "linked" else "", volumes=empty, **mounted(path))
        for name, path in paths.items()
        for runtime in RUNTIMES[:2]
    ]
    fill = shell("before", "ln -s /dev /v/d", volumeMounts=[{"name": "v", "mountPath": "/v"}])
    two = [{"name": "v", "mountPath": "/v"}, {"name": "w", "mountPath": "/v/d"}]
    for runtime in RUNTIMES[:2]:  # by a link that another container has put into a volume
        led = once("over-led", runtime, "true", volumes=[*empty, {"name": "w", "emptyDir": {}}], volumeMounts=two)
        led["spec"]["initContainers"] = [fill]
        pods.append(led)
    pods += [once("hosts", runtime, "ls -l /dev/null", volumes=hosts, **mounted("/dev")) for runtime in RUNTIMES[:2]]
    node.apply(*pods)
    for name, path in {**paths, "led": "/dev"}.items():
        place = {"slash": "/dev", "linked": "/dev"}.get(name, path)
        why = "is the container's root: refused" if path == "/" else f"only the host's own {place} can be mounted"
        for runtime in RUNTIMES[:2]:
            found = settled(node, f"over-{name}-{runtime}")
            assert found[:2] == ("waiting", "CreateContainerError"), (name, runtime, found)
            assert why in found[2]
    for runtime in RUNTIMES[:2]:
        assert settled(node, f"hosts-{runtime}") == ("terminated", "Completed", 0)
    assert held_out(outside) == ["secret"]


def test_links_in_the_way_of_mounts(node: NodeUnderTest, outside: Path) -> None:
    """Files of the pod, volumes, the termination message and the working directory over links that lead out of the image: they
    are inside, or the container does not start (CVE-2024-5154, CVE-2017-1002101, CVE-2021-30465, CVE-2025-52881)."""
    empty = [{"name": "v", "emptyDir": {}}]
    ways: dict[str, dict[str, Any]] = {
        "files": {},
        "volume": {"volumes": empty, "volumeMounts": [{"name": "v", "mountPath": "/away/volume"}]},
        "onlink": {"volumes": empty, "volumeMounts": [{"name": "v", "mountPath": "/away"}]},
        "message": {"terminationMessagePath": "/away/message"},
        "folder": {"workingDir": "/away"},
        "made": {"workingDir": "/away/made"},
    }
    script = "pwd; cat /etc/hosts; cat /away/secret; id -u; echo told > ${MESSAGE:-/dev/termination-log}"
    environment = [{"name": "MESSAGE", "value": "/away/message"}]
    node.apply(
        *(
            once(name, runtime, script, "links", **fields, **({"env": environment} if name == "message" else {}))
            for name, fields in ways.items()
            for runtime in RUNTIMES
        )
    )
    for name in ways:
        for runtime in RUNTIMES:
            settled(node, f"{name}-{runtime}")
            assert "of the host" not in log_of(node, f"{name}-{runtime}")
    assert held_out(outside) == ["secret"]
    for runtime in ("runc", "crun"):  # what is not refused works
        log = log_of(node, f"files-{runtime}")
        assert "Kubernetes-managed hosts file" in log
        assert log.splitlines()[-1] == "1000"


def test_device_nodes_of_an_image(node: NodeUnderTest) -> None:
    """A layer may hold nodes of any device; only those that every container has can be opened."""
    script = "for n in mem kmsg watchdog; do (: < /$n) 2> /dev/null && echo opened $n; done; echo end"
    pods = [once("nodes", runtime, script, "nodes") for runtime in RUNTIMES]
    node.apply(*pods)
    for runtime in RUNTIMES:
        assert settled(node, f"nodes-{runtime}") == ("terminated", "Completed", 0)
        assert log_of(node, f"nodes-{runtime}") == "end"


def test_leaked_descriptors(node: NodeUnderTest) -> None:
    """A working directory of /proc/self/fd/N finds nothing of the host (CVE-2024-21626), a process and an exec have their three
    streams and no more (CVE-2016-9962), and the runtime's program is not to be written through /proc/self/exe (CVE-2019-5736)."""
    numbers = (3, 7, 8)
    look = "ls -l /proc/self/cwd/ 2>&1; pwd; echo end"
    count = "for f in /proc/1/fd/*; do echo ${f##*/}; done | sort -n | tail -1"
    pods = [
        once(f"fd{number}", runtime, look, workingDir=f"/proc/self/fd/{number}")
        for number in numbers
        for runtime in ("runc", "crun")
    ]
    pods += [
        make_pod(f"streams-{runtime}", shell("c", f"{count}; sleep 100000"), **on(runtime)) for runtime in RUNTIMES
    ]
    node.apply(*pods)
    for number in numbers:
        for runtime in ("runc", "crun"):
            kind, reason, _ = settled(node, f"fd{number}-{runtime}")
            assert (kind, reason) != ("terminated", "Completed"), log_of(node, f"fd{number}-{runtime}")
    for runtime in RUNTIMES:
        node.running(f"streams-{runtime}")
        inside = ("exec", f"streams-{runtime}", "--", "sh", "-c")
        assert node.kubectl(*inside, "for f in /proc/$$/fd/*; do echo ${f##*/}; done").split()[:3] == ["0", "1", "2"]
        assert max(map(int, node.kubectl(*inside, "ls /proc/1/fd").split())) <= 10  # the shell's own at most
        words = "for p in /proc/[0-9]*; do readlink $p/exe; done; true"
        assert set(node.kubectl(*inside, words).split()) <= {"/bin/busybox"}


def test_a_second_instance_is_no_more_than_the_first(node: NodeUnderTest) -> None:
    """runAsNonRoot and the image's user hold for every start of a container (CVE-2019-11245)."""
    script = "id -u; grep -E '^(CapEff|CapInh|CapAmb)' /proc/self/status; exit 1"
    own = {"image": "localhost/links:1", "imagePullPolicy": "Never", "securityContext": {"runAsNonRoot": True}}
    node.apply(
        *(make_pod(f"again-{runtime}", shell("c", script, **own), **on(runtime)) for runtime in ("runc", "crun"))
    )
    for runtime in ("runc", "crun"):
        node.pod_when(f"again-{runtime}", lambda pod: status_of(pod).get("restartCount", 0) >= 1)
        nothing = [f"{name}:\t0000000000000000" for name in ("CapInh", "CapEff", "CapAmb")]
        node.pod_when(f"again-{runtime}", lambda pod, name=runtime: len(log_of(node, f"again-{name}", number=1)) > 20)
        assert log_of(node, f"again-{runtime}", number=1).splitlines() == ["1000", *nothing]


def test_volumes_that_run_programs_on_the_node(node: NodeUnderTest) -> None:
    """There are no gitRepo volumes: git never runs on the node, on whatever repository (CVE-2024-10220, CVE-2025-1767)."""
    for name, repository in (("git", "https://example.invalid/x"), ("local", "/etc")):
        volume = {"name": "g", "gitRepo": {"repository": repository, "directory": "."}}
        mounts = [{"name": "g", "mountPath": "/g"}]
        node.apply(make_pod(name, container("c", volumeMounts=mounts), volumes=[volume]))
        assert "this node does not support volumes of type gitRepo" in node.event_when(name, "FailedMount")
        node.pod_when(name, lambda pod: status_of(pod).get("started") is False)
