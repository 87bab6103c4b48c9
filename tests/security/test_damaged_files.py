"""A damaged file never keeps the agent from its work: every file that it left itself, in every way in which disks damage one."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from node_under_test import NodeUnderTest, eventually, import_image
from pods_under_test import finished, make_pod, shell

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("security-damage")]

# Not here: the API's store and keys, the CNI plugins' addresses, and what ends the start in one line (checkpoints, serving key).
FILES = (
    "state/runtimes/*/containers/*/*",
    "state/runtimes/*/sandboxes/*/*",
    "state/runtimes/*/exits/*",
    "state/images/records/*.json",
    "state/images/usage/*",
    "state/images/unpacked/*/*",
    "state/images/holds/*",
    "run/*/bundles/*/*",
    "run/gvisor/runsc-in-pod",
    "cni-cache/results/*",
    "root/config.json",
    "root/pods/*/etc-hosts",
    "root/pods/*/userns",
    "root/pods/*/containers/*/*",
    "root/image_manager/*/*",
    "containers/*",
    "logs/*/*/*",
)
# Folders in which something lies that nobody put there.
FOLDERS = (
    "state",
    "state/runtimes",
    "state/runtimes/runc/containers",
    "state/runtimes/runc/sandboxes",
    "state/runtimes/runc/exits",
    "state/images/*",
    "run",
    "run/runc/*",
    "cni",
    "cni-cache/results",
    "root/pods",
    "root/pods/*",
    "root/image_manager/*",
    "logs",
    "containers",
)


def sweep(node: NodeUnderTest) -> None:
    """Things of nobody that no one may remove: they may be anything's."""
    for path in node.directory.rglob("stray-*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "file").touch()


def _loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def _changed(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(change(path.read_bytes())) and None


def _fields(data: bytes) -> bytes:
    """The same JSON, its fields of other types."""
    return data.replace(b'":"', b'":5,"x":"').replace(b'":{', b'":[],"y":{')


DAMAGE: dict[str, Callable[[Path], None]] = {
    "half": _changed(lambda data: data[: len(data) // 2] + b"\xc3("),
    "other types": _changed(_fields),
    "a folder": _folder,
    "a link to itself": _loop,
}


def damage(node: NodeUnderTest, kind: str) -> list[Path]:
    """Every file is damaged; returns which."""
    found = []
    for pattern in FILES:
        for path in node.directory.glob(pattern):
            if path.is_symlink() or path.is_file():
                if path.is_symlink() and kind not in ("a folder", "a link to itself"):
                    continue
                DAMAGE[kind](path)
                found.append(path)
    for pattern in FOLDERS:
        for path in node.directory.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                stray = path / f"stray-{kind.replace(' ', '-')}.json"
                if not os.path.lexists(stray):
                    stray.touch()
                    if kind.startswith("a "):
                        DAMAGE[kind](stray)
    return found


@pytest.mark.parametrize("kind", list(DAMAGE))
def test_the_agent_starts_on_damaged_files(node: NodeUnderTest, demo_image: Path, kind: str) -> None:
    """All of them at once, and things of nobody beside them: the agent starts, says what it cannot read, runs pods, and what was
    there can be deleted without a rest."""
    name = kind.replace(" ", "-")
    login = node.directory / "root" / "config.json"
    if os.path.lexists(login):  # an operator's: left as the last case has made it
        shutil.rmtree(login) if login.is_dir() else login.unlink()
    login.write_text('{"auths": {}}')
    node.apply(
        make_pod(f"stays-{name}", shell("c", "echo here; sleep 100000"), volumes=[{"name": "v", "emptyDir": {}}]),
        make_pod(f"ended-{name}", shell("c", "echo here"), restartPolicy="Never"),
    )
    node.running(f"stays-{name}")
    node.pod_when(f"ended-{name}", finished)
    node.stop()
    before = len(node.log())
    damaged = damage(node, kind)
    assert {path.name for path in damaged} >= {"state.json", "config.json", "etc-hosts", "0.log"}
    node.start()
    import_image(node, demo_image)
    node.apply(make_pod(f"new-{name}"))
    node.running(f"new-{name}")
    assert node.kubectl("exec", f"new-{name}", "--", "echo", "x") == "x\n"
    node.running(f"stays-{name}")
    sweep(node)
    node.kubectl("delete", "pods", "--all", "--grace-period=1", "--wait=false")
    eventually(lambda: node._no_pods() != "", "the pods go")
    eventually(lambda: not node._pod_leaks(), f"nothing stays: {node._pod_leaks()}")
    said = node.log()[before:]
    assert "Traceback" not in said
    assert "has no usable record" in said
