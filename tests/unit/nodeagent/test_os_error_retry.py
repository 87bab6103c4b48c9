"""Loops that a machine in trouble does not end, and how many files the agent may have open."""

import resource

import pytest

from nodeagent import open_files, os_error_retry


async def test_an_oserror_is_of_a_moment(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The loop begins again, and it is told; other errors are ours and go on."""
    monkeypatch.setattr(os_error_retry, "AGAIN_SECONDS", 0)
    faults: list[Exception | None] = [OSError(24, "Too many open files"), PermissionError(1, "no"), None]

    async def run() -> None:
        if (fault := faults.pop(0)) is not None:
            raise fault

    await os_error_retry.retry_on_os_error(run, "a loop")
    assert [record.getMessage() for record in caplog.records] == [
        "a loop: [Errno 24] Too many open files; begins again in 0 s",
        "a loop: [Errno 1] no; begins again in 0 s",
    ]
    faults.append(ValueError("ours"))
    with pytest.raises(ValueError, match="ours"):
        await os_error_retry.retry_on_os_error(run, "a loop")


@pytest.mark.parametrize(
    ("limits", "privileged", "wanted", "expected"),
    [
        ((1024, 4096), True, 1_000_000, (1_000_000, 1_000_000)),
        ((1024, 4096), False, 1_000_000, (4096, 4096)),
        ((1024, 4096), False, 2000, (2000, 4096)),
        ((5000, 9000), True, 2000, (5000, 9000)),
    ],
)
def test_max_open_files(
    monkeypatch: pytest.MonkeyPatch,
    limits: tuple[int, int],
    privileged: bool,
    wanted: int,
    expected: tuple[int, int],
) -> None:
    """The limit is raised as far as the process may, never lowered."""
    now = [limits]

    def setrlimit(kind: int, new: tuple[int, int]) -> None:
        if new[1] > now[0][1] and not privileged:
            raise PermissionError(1, "not allowed to raise maximum limit")
        now[0] = new

    monkeypatch.setattr(resource, "getrlimit", lambda kind: now[0])
    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    assert open_files.raise_limit(wanted) == expected[0]
    assert now[0] == expected
