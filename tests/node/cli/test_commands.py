"""The commands on a real machine: its own image store, its own checks, and the whole of hack/run."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Place

pytestmark = pytest.mark.node
REPO = Path(__file__).resolve().parents[3]
NODEAGENT = str(Path(sys.executable).with_name("nodeagent"))


def nodeagent(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [NODEAGENT, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_images_come_and_go(demo_archive: Path, tmp_path: Path) -> None:
    """Import prints the tags, list shows id, tags, digests, size and pin, rm prints what went; a second rm fails."""
    state = f"--state-dir={tmp_path}"
    imported = nodeagent("image", "import", demo_archive, "--tag", "localhost/cli:2", state)
    assert (imported.returncode, imported.stdout, imported.stderr) == (0, "localhost/cli:2\n", "")
    rows = json.loads(nodeagent("image", "list", "--output", "json", state).stdout)
    (row,) = rows
    assert sorted(row) == ["digests", "id", "pinned", "size", "tags"]
    assert row["tags"] == ["localhost/cli:2"]
    assert row["id"].startswith("sha256:")
    assert [digest.partition("@")[0] for digest in row["digests"]] == ["localhost/cli"]
    assert row["size"] > 100_000
    table = nodeagent("image", "list", state).stdout.splitlines()
    assert table[0].split() == ["IMAGE", "ID", "SIZE", "PINNED"]
    columns = table[1].split()
    assert (columns[:2], columns[-1]) == (["localhost/cli:2", row["id"].removeprefix("sha256:")[:12]], "yes")
    removed = nodeagent("image", "rm", "localhost/cli:2", state)
    assert (removed.returncode, removed.stdout) == (0, "localhost/cli:2\n")
    assert json.loads(nodeagent("image", "list", "-o", "json", state).stdout) == []
    again = nodeagent("image", "rm", "localhost/cli:2", state)
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == "nodeagent: no image 'localhost/cli:2' (a short id may fit several)\n"


def test_pins(demo_archive: Path, tmp_path: Path) -> None:
    """An imported image is pinned, unless it is not to be; pin and unpin print names and fail for what is not there."""
    state = f"--state-dir={tmp_path}"

    def pinned() -> bool:
        (row,) = json.loads(nodeagent("image", "list", "--output", "json", state).stdout)
        return bool(row["pinned"])

    nodeagent("image", "import", demo_archive, state)
    assert pinned()
    done = nodeagent("image", "unpin", "localhost/demo:1", state)
    assert (done.returncode, done.stdout, pinned()) == (0, "localhost/demo:1\n", False)
    done = nodeagent("image", "pin", "absent", "localhost/demo:1", state)
    assert (done.returncode, done.stdout, pinned()) == (1, "localhost/demo:1\n", True)
    assert done.stderr == "nodeagent: no image 'absent' (a short id may fit several)\n"
    nodeagent("image", "import", "--unpinned", demo_archive, state)
    assert not pinned()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("import", "/nonexistent.tar"), "/nonexistent.tar"),
        (("pull", "127.0.0.1:1/none:1"), "connection refused"),
        (("pull", "NOT A NAME"), "invalid reference format"),
    ],
)
def test_images_that_do_not_come(arguments: tuple[str, str], complaint: str, tmp_path: Path) -> None:
    """A file or a registry that does not answer: exit code 1 and one line with the reason, nothing on stdout."""
    done = nodeagent("image", *arguments, f"--state-dir={tmp_path}")
    assert (done.returncode, done.stdout) == (1, "")
    assert complaint in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_check_of_this_machine(place: "Place") -> None:
    """On a machine that runs these tests pods can run; every finding has its fields, every problem its fix."""
    done = nodeagent("check", "--standalone", "--config", place.config, "--output", "json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["ready"]) == (0, True), done.stdout
    groups = list(dict.fromkeys(item["group"] for item in answer["checks"]))
    assert groups == [
        *("kernel", "cgroups", "privileges", "runtimes", "programs", "cni", "ports", "resources"),
        *("configuration", "files", "published holes"),
    ]
    for item in answer["checks"]:
        assert sorted(item) == ["detail", "fix", "group", "name", "required", "state"]
        assert item["fix"] or item["state"] == "found"
    (runc,) = (item for item in answer["checks"] if item["group"] == "runtimes")
    assert runc["detail"].startswith("runc ")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (None, "does not exist"),
        ("#!/bin/sh\nexit 3\n", "cannot be run"),
        ("#!/bin/sh\necho runc version 1.1.5\n[ $1 = --version ] || { echo no luck >&2; exit 1; }\n", "no luck"),
    ],
)
def test_check_runs_the_runtime(place: "Place", script: str | None, reason: str) -> None:
    """A default runtime that is missing, fails or cannot list its containers is found out by running it: exit code 1."""
    program = place.folder / "runc"
    if script is not None:
        program.write_text(script)
        program.chmod(0o755)
    place.config.write_text(place.config.read_text().replace(str(shutil.which("runc")), str(program)))
    done = nodeagent("check", "--standalone", "--config", place.config, "-o", "json")
    (runc,) = (item for item in json.loads(done.stdout)["checks"] if item["group"] == "runtimes")
    assert (done.returncode, runc["state"], runc["required"]) == (1, "missing", True)
    assert reason in runc["detail"] or script is None


@pytest.mark.timeout(300)
@pytest.mark.xdist_group("hack-run")
def test_hack_run_once(place: "Place") -> None:
    """`hack/run --once` beside other agents: three pods reach their goals, the page is in the log, nothing is left."""
    done = subprocess.run(
        [REPO / "hack/run", "--once"],
        env=place.environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    table = lines.index("POD     STATUS     IP" + lines[lines.index("") + 1].partition("IP")[2])
    rows = [line.split() for line in lines[table + 1 : table + 4]]
    assert [(row[0], row[1], row[3], row[4]) for row in rows] == [
        ("server", "Running", place.name, "0"),
        ("client", "Completed", place.name, "0"),
        ("hungry", "Running", place.name, "1"),
    ]
    assert f"GET http://{rows[0][2]}:8080/" in lines
    assert "<!doctype html><title>nodeagent</title><h1>It runs.</h1>" in lines
    assert place.left_overs() == []
