"""Imports point one way (DESIGN.md, "The house")."""

import ast
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
PACKAGES = ("proto", "cni", "csi", "runtimes", "nodeagent")

# The ground floor: tools and values that everyone may use, and that use nobody. The top level is given, so it lies in runtimes.
FLOOR = ("runtimes.linux", "runtimes.kube")

# What each package may import beside itself and the floor. runtimes.oci alone of the runtimes calls CNI.
MAY = {
    "proto": set(),
    "cni": {"proto"},
    "csi": {"proto"},
    "runtimes": {"proto", "cni"},
    "nodeagent": {"proto", "cni", "csi", "runtimes"},
}

# Inside nodeagent, highest first: nothing imports a room of a level above its own.
LEVELS = (
    ("__main__", "cli"),
    ("main", "cri_server", "hollow", "isolation", "testers"),
    ("assembly",),
    ("apiserver", "server", "standalone", "standby"),
    ("metrics", "sources", "node", "pods", "eviction", "shutdown"),
    (
        "volumes",
        "images",
        "probes",
        "cgroups",
        "stats",
        "container_logs",
        "cluster_dns",
        "services",
        "resources",
        "plugin_registration",
        "provisioner",
        "tracing",
    ),
    ("api",),
    ("podspec", "config", "folders", "logs", "tls_policy"),
    ("apitypes", "open_files", "os_error_retry", "errors", "reports", "trust_apart", "version"),
)
LEVEL_OF = {room: len(LEVELS) - number for number, rooms in enumerate(LEVELS) for room in rooms}

# What works on the engine's own files and programs; everybody else knows runtimes by their contract. The last is a guest:
# what it takes from there is to move to the ground floor.
KNOW_THE_ENGINE = (
    "nodeagent.assembly.",
    "nodeagent.cli.check.",
    "nodeagent.cli.image",
    "nodeagent.cli.progress",
    "nodeagent.config.check",
)


def _files() -> list[Path]:
    return sorted(
        path
        for package in PACKAGES
        for path in (REPO / package).rglob("*.py")
        if not path.stem.endswith(("_pb2", "_grpc"))
    )


@functools.cache
def _imports(path: Path) -> tuple[tuple[int, str], ...]:
    """(line, dotted module) of every import of ours; `from a import b` as a.b, so that submodules count."""
    return tuple(_found_imports(path))


def _found_imports(path: Path) -> Iterator[tuple[int, str]]:
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
    """nodeagent.pods.rules.plan -> pods; the package itself has no room."""
    parts = dotted.split(".")
    return parts[1] if parts[0] == "nodeagent" and len(parts) > 1 else ""


def _on_floor(dotted: str) -> str:
    """Which part of the ground floor a module is in; empty: none."""
    return next((part for part in FLOOR if dotted == part or dotted.startswith(f"{part}.")), "")


def _module(name: str, files: Mapping[str, Path]) -> str:
    """Which of the modules an imported name is, or is in; empty: none."""
    while name and name not in files:
        name = name.rpartition(".")[0]
    return name


def _dotted(path: Path) -> str:
    return ".".join(path.relative_to(REPO).with_suffix("").parts)


def test_packages_import_only_what_is_below_them() -> None:
    """nodeagent -> {runtimes, cni, csi} -> the floor -> proto; nothing imports nodeagent but nodeagent."""
    wrong = []
    for path in _files():
        own = path.relative_to(REPO).parts
        for line, module in _imports(path):
            package = module.split(".")[0]
            if package != own[0] and package not in MAY[own[0]] and not _on_floor(module):
                wrong.append(f"{path.relative_to(REPO)}:{line}: {own[0]} imports {module}")
    assert wrong == []


def test_the_ground_floor_uses_nobody() -> None:
    """runtimes.linux and runtimes.kube import themselves only, and kube does without linux."""
    wrong = []
    for path in _files():
        if not (own := _on_floor(_dotted(path))):
            continue
        for line, module in _imports(path):
            if _on_floor(module) not in (own, *(FLOOR if own == "runtimes.linux" else ())):
                wrong.append(f"{path.relative_to(REPO)}:{line}: {own} imports {module}")
    assert wrong == []


def test_only_the_engine_uses_the_network_library() -> None:
    """In runtimes, runtimes.oci alone calls CNI."""
    wrong = []
    for path in _files():
        own = path.relative_to(REPO).parts
        if own[0] != "runtimes" or own[1] == "oci":
            continue
        for line, module in _imports(path):
            if module.split(".")[0] == "cni":
                wrong.append(f"{path.relative_to(REPO)}:{line}: imports {module}")
    assert wrong == []


def test_rooms_of_the_agent_import_downwards() -> None:
    """assembly -> server, apiserver -> pods -> volumes, images, probes, cgroups, … -> api -> podspec; main and cli above."""
    wrong = []
    for path in _files():
        own = path.relative_to(REPO).with_suffix("").parts
        if own[0] != "nodeagent" or own[1] == "__init__":
            continue
        for line, module in _imports(path):
            room = _room(module)
            if room in LEVEL_OF and room != own[1] and LEVEL_OF[room] > LEVEL_OF[own[1]]:
                wrong.append(f"{path.relative_to(REPO)}:{line}: {own[1]} imports {module}")
    assert wrong == []


def test_every_room_has_its_level() -> None:
    """A new one is given its place before it is moved into."""
    rooms = {
        path.relative_to(REPO).with_suffix("").parts[1] for path in _files() if path.is_relative_to(REPO / "nodeagent")
    }
    assert rooms - {"__init__"} == set(LEVEL_OF)


def test_the_agent_knows_runtimes_by_their_contract() -> None:
    """What is inside the OCI engine is the business of those alone who make it, or look after its files and programs."""
    wrong = []
    for path in _files():
        own = _dotted(path)
        if own.startswith("nodeagent.") and not own.startswith(KNOW_THE_ENGINE):
            wrong += [
                f"{path.relative_to(REPO)}:{line}: imports {module}"
                for line, module in _imports(path)
                if module.startswith("runtimes.oci")
            ]
    assert wrong == []


def test_the_agent_does_not_reach_into_the_embedded_api() -> None:
    """It is started as a process of its own and reached through HTTPS, as any API server: nobody imports it."""
    wrong = []
    for path in _files():
        own = path.relative_to(REPO).with_suffix("").parts
        if own[0] == "nodeagent" and own[1] != "apiserver":
            wrong += [
                f"{path.relative_to(REPO)}:{line}: imports {module}"
                for line, module in _imports(path)
                if _room(module) == "apiserver"
            ]
    assert wrong == []


# The testers' commands, which come with an extra; no other part of the agent knows them.
TESTERS = ("nodeagent.testers.", "nodeagent.cli.testers.")


def test_nothing_but_tests_uses_a_harness() -> None:
    """cni.testing and runtimes.testing are for whoever tests networks and runtimes: an agent never imports them, nor pytest.

    The commands that run them are a room apart, and the way to it.
    """
    wrong = []
    for path in _files():
        if ".testing" in _dotted(path) or _dotted(path).startswith(TESTERS):
            continue
        wrong += [
            f"{path.relative_to(REPO)}:{line}: imports {module}"
            for line, module in _imports(path)
            if module.startswith("nodeagent.testers")
        ]
        wrong += [
            f"{path.relative_to(REPO)}:{line}: imports {module}"
            for line, module in _imports(path)
            if ".testing" in module
        ]
        if "pytest" in path.read_text():
            wrong.append(f"{path.relative_to(REPO)}: mentions pytest")
    assert wrong == []


def test_the_csi_client_knows_no_driver() -> None:
    """Neither does the suite: csi.driver is one driver among others, which uses the client's values and errors."""
    wrong = []
    for path in _files():
        if _dotted(path).startswith("csi.") and not _dotted(path).startswith("csi.driver."):
            wrong += [
                f"{path.relative_to(REPO)}:{line}: imports {module}"
                for line, module in _imports(path)
                if module.startswith("csi.driver")
            ]
    assert wrong == []


@pytest.mark.parametrize("package", PACKAGES)
def test_there_is_no_circle(package: str) -> None:
    """A package's modules import each other one way, imports for type checkers and within functions included."""
    files = {_dotted(path).removesuffix(".__init__"): path for path in _files() if path.is_relative_to(REPO / package)}
    below = {own: {_module(name, files) for _, name in _imports(path)} - {own} for own, path in files.items()}
    while free := {own for own, found in below.items() if not found & set(below)}:
        below = {own: found for own, found in below.items() if own not in free}
    assert sorted(below) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_says_that_it_is_typed(package: str) -> None:
    """py.typed is there, so that users' type checkers read our annotations."""
    assert (REPO / package / "py.typed").is_file()
