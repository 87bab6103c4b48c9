"""Last words of containers: their file, their log, and the limits of both."""

import os
import re
import stat
from pathlib import Path

import pytest

from nodeagent.pods.translation.termination_message import create_termination_file, log_tail, termination_message
from proto import cri_pb2 as cri

STAMP = "2026-07-09T12:00:00.000000000Z"


def status(
    *,
    file: Path | None = None,
    log: Path | None = None,
    policy: str = "File",
    exit_code: int = 1,
    reason: str = "Error",
    message: str = "",
) -> cri.ContainerStatus:
    return cri.ContainerStatus(
        exit_code=exit_code,
        reason=reason,
        message=message,
        log_path=str(log or ""),
        annotations={
            "io.kubernetes.container.terminationMessagePath": "/dev/termination-log",
            "io.kubernetes.container.terminationMessagePolicy": policy,
        },
        mounts=[cri.Mount(container_path="/dev/termination-log", host_path=str(file))] if file else [],
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return create_termination_file(tmp_path / "pod/containers/c")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "0.log"
    path.write_text(f"{STAMP} stdout F first\n{STAMP} stderr P par\n{STAMP} stderr F tial\n")
    return path


def test_each_start_has_a_fresh_file_for_any_user(tmp_path: Path) -> None:
    """Eight hex digits in the container's folder, empty, mode 0666 whatever the umask."""
    before = os.umask(0o077)
    try:
        files = [create_termination_file(tmp_path / "c") for _ in range(2)]
    finally:
        os.umask(before)
    assert files[0] != files[1]
    for path in files:
        assert re.fullmatch(r"[0-9a-f]{8}", path.name)
        assert (stat.S_IMODE(path.stat().st_mode), path.read_bytes()) == (0o666, b"")


def test_the_files_content_is_the_message(file: Path) -> None:
    """After the runtime's own message, where there is one."""
    file.write_text("bye")
    assert termination_message(status(file=file)) == "bye"
    assert termination_message(status(file=file, message="oom")) == "oom: bye"


def test_only_the_end_of_the_file_counts(file: Path) -> None:
    """The last 4096 bytes."""
    file.write_text("x" * 5000 + "end")
    text = termination_message(status(file=file))
    assert (len(text), text[-4:]) == (4096, "xend")


@pytest.mark.parametrize(
    ("policy", "exit_code", "reason", "expected"),
    [
        ("FallbackToLogsOnError", 1, "Error", "first\npartial\n"),
        ("FallbackToLogsOnError", 0, "Completed", ""),
        ("FallbackToLogsOnError", 128, "ContainerCannotRun", ""),
        ("File", 1, "Error", ""),
    ],
)
def test_falling_back_to_the_log(
    file: Path, log: Path, policy: str, exit_code: int, reason: str, expected: str
) -> None:
    """Only with the policy, only after a failure of the process itself, only when the file is empty."""
    found = status(file=file, log=log, policy=policy, exit_code=exit_code, reason=reason)
    assert termination_message(found) == expected


def test_the_file_comes_before_the_log(file: Path, log: Path) -> None:
    """A message in the file makes the log unnecessary; a file that is gone does not."""
    found = status(file=file, log=log, policy="FallbackToLogsOnError")
    file.write_text("bye")
    assert termination_message(found) == "bye"
    file.unlink()
    assert termination_message(found) == "first\npartial\n"


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    """The message is the error, for the file and for the log."""
    loop = tmp_path / "loop"
    loop.symlink_to("elsewhere")
    assert termination_message(status(file=loop)) == (
        f"Error on reading termination log {loop}: Too many levels of symbolic links"
    )
    assert termination_message(status(log=tmp_path / "none", policy="FallbackToLogsOnError")) == (
        "Error on reading termination message from logs: No such file or directory"
    )


def test_a_pipe_in_place_of_the_file_does_not_block(tmp_path: Path) -> None:
    """Whatever it is, it is not read."""
    os.mkfifo(tmp_path / "pipe")
    assert termination_message(status(file=tmp_path / "pipe")) == ""


def test_a_pod_cannot_have_another_file_read(tmp_path: Path) -> None:
    """With the log folders mounted a pod may put links in the place of folders: no link below all pods' logs is followed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "0.log").write_text(f"{STAMP} stdout F secret\n")
    pods = tmp_path / "pods"
    (pods / "ns_p_u").mkdir(parents=True)
    (pods / "ns_p_u" / "c").symlink_to(outside)
    (pods / "ns_q_u").symlink_to(tmp_path)
    (pods / "ns_r_u" / "c").mkdir(parents=True)
    (pods / "ns_r_u" / "c" / "0.log").symlink_to(outside / "0.log")
    for log in ("ns_p_u/c", "ns_q_u/outside", "ns_r_u/c"):
        text = termination_message(status(log=pods / log / "0.log", policy="FallbackToLogsOnError"))
        assert text.startswith("Error on reading termination message from logs: "), log
        assert "secret" not in text
    reached = tmp_path / "link"
    reached.symlink_to(pods)
    (pods / "ns_s_u" / "c").mkdir(parents=True)
    (pods / "ns_s_u" / "c" / "0.log").write_text(f"{STAMP} stdout F mine\n")
    assert log_tail(reached / "ns_s_u" / "c" / "0.log") == "mine\n", "the folder of all logs may be reached by a link"


def test_limits_of_the_log(tmp_path: Path) -> None:
    """The last 80 lines, and of them the last 2048 bytes; a huge log is not read from its beginning."""
    path = tmp_path / "0.log"
    path.write_text("".join(f"{STAMP} stdout F line {number}\n" for number in range(100)))
    assert log_tail(path).splitlines() == [f"line {number}" for number in range(20, 100)]
    path.write_text("".join(f"{STAMP} stdout F {number:04}{'y' * 200}\n" for number in range(2000)))
    text = log_tail(path)
    assert len(text) == 2048
    assert text.endswith(f"1999{'y' * 200}\n")
