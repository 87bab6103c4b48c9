"""Imports point one way (DESIGN.md, "The house")."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
PACKAGES = ("proto", "cni", "csi", "runtimes", "nodeagent")

# What each package may import beside itself. runtimes.oci shares cni; the rest of runtimes may use cni's process port.
MAY = {
    "proto": set(),
    "cni": {"proto"},
    "csi": {"proto"},
    "runtimes": {"proto", "cni"},
    "nodeagent": {"proto", "cni", "csi", "runtimes"},
}
CNI_OUTSIDE_OCI = {"cni.process", "cni.linux"}

# Inside nodeagent, highest first: nothing imports a room of a level above its own.
LEVELS = (
    ("cli",),
    ("main", "build"),
    ("apiserver", "server"),
    ("sources", "node", "pods", "eviction"),
    ("volumes", "images", "probes", "cgroups", "stats", "container_logs"),
    ("api", "config", "resources"),
)
LEVEL_OF = {room: len(LEVELS) - number for number, rooms in enumerate(LEVELS) for room in rooms}


def _files() -> list[Path]:
    return sorted(
        path
        for package in PACKAGES
        for path in (REPO / package).rglob("*.py")
        if not path.stem.endswith(("_pb2", "_grpc"))
    )


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted module) of every import of ours; `from a import b` as a.b, so that submodules count."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute here"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from ((node.lineno, name) for name in names if name.split(".")[0] in PACKAGES)


def _room(dotted: str) -> str:
    """nodeagent.pods.plan -> pods; the package itself has no room."""
    parts = dotted.split(".")
    return parts[1] if parts[0] == "nodeagent" and len(parts) > 1 else ""


def test_packages_import_only_what_is_below_them() -> None:
    """nodeagent -> {runtimes, cni, csi} -> proto; nothing imports nodeagent but nodeagent."""
    wrong = []
    for path in _files():
        own = path.relative_to(REPO).parts
        for line, module in _imports(path):
            package = module.split(".")[0]
            if package != own[0] and package not in MAY[own[0]]:
                wrong.append(f"{path.relative_to(REPO)}:{line}: {own[0]} imports {module}")
    assert wrong == []


def test_only_the_engine_uses_the_network_library() -> None:
    """In runtimes, runtimes.oci alone calls CNI; the others may only run programs and make system calls through it."""
    wrong = []
    for path in _files():
        own = path.relative_to(REPO).parts
        if own[0] != "runtimes" or own[1] == "oci":
            continue
        for line, module in _imports(path):
            if module.split(".")[0] == "cni" and ".".join(module.split(".")[:2]) not in CNI_OUTSIDE_OCI:
                wrong.append(f"{path.relative_to(REPO)}:{line}: imports {module}")
    assert wrong == []


def test_rooms_of_the_agent_import_downwards() -> None:
    """server, apiserver -> pods -> volumes, images, probes, cgroups, … -> api; only main and cli are above them."""
    wrong = []
    for path in _files():
        own = path.relative_to(REPO).with_suffix("").parts
        if own[0] != "nodeagent" or own[1] == "__init__" or own[1] not in LEVEL_OF:
            continue
        for line, module in _imports(path):
            room = _room(module)
            if room and room != own[1] and LEVEL_OF.get(room, 0) > LEVEL_OF[own[1]]:
                wrong.append(f"{path.relative_to(REPO)}:{line}: {own[1]} imports {module}")
    assert wrong == []


def test_the_agent_does_not_reach_into_the_embedded_api() -> None:
    """Only what starts it knows it: everything else goes through HTTPS, as with any API server."""
    wrong = []
    for path in _files():
        own = path.relative_to(REPO).with_suffix("").parts
        if own[0] == "nodeagent" and own[1] not in ("apiserver", "main", "build", "cli", "standalone"):
            wrong += [
                f"{path.relative_to(REPO)}:{line}: imports {module}"
                for line, module in _imports(path)
                if _room(module) == "apiserver"
            ]
    assert wrong == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_says_that_it_is_typed(package: str) -> None:
    """py.typed is there, so that users' type checkers read our annotations."""
    assert (REPO / package / "py.typed").is_file()
