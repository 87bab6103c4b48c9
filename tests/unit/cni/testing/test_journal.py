"""What programs were sent and answered, told to people, and the shell line that does it again."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from cni.testing import journal
from runtimes.linux.process import Completed

PROGRAM = Path("/opt/cni/bin/mine")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    journal.begin(tmp_path)
    yield tmp_path
    journal.begin(Path())


def note(command: str, container: str, netns: Path | str, stdin: bytes = b"{}", status: int = 0, **more: float) -> None:
    environment = {"CNI_COMMAND": command, "CNI_CONTAINERID": container, "CNI_NETNS": str(netns), "CNI_IFNAME": "eth0"}
    ended = Completed(argv=("mine",), returncode=status, stdout=b'{"code": 7,\n "msg": "no"}', stderr=b"oh\n")
    journal.note(PROGRAM, environment, stdin, None if more else ended, **more)


def test_what_is_told(folder: Path) -> None:
    """Command, environment, input, exit status and both outputs; credentials are struck out, long texts cut."""
    note("ADD", "c1", "/ns", b'{"type": "mine", "auth": {"apiKey": "hunter2", "Password": "hunter2"}}', 1)
    note("DEL", "c1", "/ns", b"x" * 5000, killed_after_seconds=0.02)
    told = journal.told()
    assert told.splitlines()[:5] == [
        "$ CNI_COMMAND=ADD CNI_CONTAINERID=c1 CNI_IFNAME=eth0 CNI_NETNS=/ns /opt/cni/bin/mine",
        'stdin:  {"type": "mine", "auth": {"apiKey": "***", "Password": "***"}}',
        "exit:   1",
        'stdout: {"code": 7, "msg": "no"}',
        "stderr: oh",
    ]
    assert "(5000 characters)" in told
    assert told.endswith("ended:  killed after 0.02 s, as the check wants")
    assert "hunter2" not in journal.reproduction()


def test_a_run_without_an_end(folder: Path) -> None:
    """A plugin that never answered is told as that, where the check had not meant to kill it."""
    journal.note(PROGRAM, {"CNI_COMMAND": "ADD"}, b"{}", None)
    assert journal.told().endswith("ended:  no answer, or not to be run")


def test_only_so_many_are_told(folder: Path) -> None:
    """The last ones, and how many were before; the next check begins anew."""
    for number in range(30):
        note("ADD", f"c{number}", "/ns")
    assert journal.told().startswith("(18 runs before)")
    assert "CNI_CONTAINERID=c17 " not in journal.told()
    assert "CNI_CONTAINERID=c18 " in journal.told()
    journal.begin(folder)
    assert (journal.told(), journal.reproduction()) == ("no plugin was run", "")


def test_the_line_is_about_one_container(folder: Path) -> None:
    """That of the last run, with its pod's namespace and the check's files on a file system of the line's own."""
    pod = folder / "ns-1234"
    note("ADD", "other", folder / "ns-0000")
    note("ADD", "c1", pod, b'{"dataDir": "%s/ipam", "sandbox": "%s"}' % (bytes(folder), bytes(pod)))
    note("DEL", "c1", pod)
    *wrapping, script = shlex.split(journal.reproduction())
    assert wrapping == ["unshare", "--net", "--mount", "sh", "-c"]
    assert "other" not in script
    assert str(folder) not in script
    assert '"dataDir": "/run/netns/.files/ipam", "sandbox": "/run/netns/ns-1234"' in script
    assert "ip netns add ns-1234 " in script
    # nothing was there any more when DEL was called, nor when ADD was
    assert script.index("ip netns delete ns-1234") < script.index("CNI_COMMAND=DEL")


def test_a_program_of_the_checks_own(folder: Path) -> None:
    """Goes with the check: there is no line that would run."""
    journal.note(folder / "bin" / "mine", {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c"}, b"", None)
    assert journal.reproduction() == ""
