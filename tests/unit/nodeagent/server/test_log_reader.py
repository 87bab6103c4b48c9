"""Reading a container's log file."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.server.log_lines import Line, nine_digits, parse_line, parse_time
from nodeagent.server.log_reader import LogOptions, read_log

START = datetime(2026, 1, 1, tzinfo=UTC)


async def ended() -> bool:
    return False


async def read(path: Path, **options) -> bytes:
    return b"".join([piece async for piece in read_log(path, LogOptions(**options), ended)])


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (
            b"2026-01-01T00:00:00.1Z stdout F hello  world ",
            Line("2026-01-01T00:00:00.1Z", "stdout", False, b"hello  world "),
        ),
        (b"2026-01-01T00:00:00.1Z stderr P:x part", Line("2026-01-01T00:00:00.1Z", "stderr", True, b"part")),
        (b"2026-01-01T00:00:00.1Z stdout F ", Line("2026-01-01T00:00:00.1Z", "stdout", False, b"")),
        (b"2026-01-01T00:00:00.1Z stdout F", Line("2026-01-01T00:00:00.1Z", "stdout", False, b"")),
        (b"2026-01-01T00:00:00.1Z other F x", None),
        (b"rubbish", None),
        (
            b'{"log":"a\\n","stream":"stderr","time":"2026-01-01T00:00:00Z"}',
            Line("2026-01-01T00:00:00Z", "stderr", False, b"a"),
        ),
        (
            b'{"log":"a","stream":"stdout","time":"2026-01-01T00:00:00Z"}',
            Line("2026-01-01T00:00:00Z", "stdout", True, b"a"),
        ),
        (b'{"log":1}', None),
        (b"{broken", None),
    ],
)
def test_lines(raw, line):
    """CRI and Docker lines are understood; what is neither is nothing."""
    assert parse_line(raw) == line


@pytest.mark.parametrize(
    ("text", "nine"),
    [
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000000000Z"),
        ("2026-01-01T00:00:00.5Z", "2026-01-01T00:00:00.500000000Z"),
        ("2026-01-01T00:00:00.123456789+02:00", "2026-01-01T00:00:00.123456789+02:00"),
        ("2026-01-01T00:00:00+02:00", "2026-01-01T00:00:00.000000000+02:00"),
    ],
)
def test_nine_digits(text, nine):
    """Timestamps are shown with exactly nine digits."""
    assert nine_digits(text) == nine
    assert parse_time(nine) == parse_time(text)


entries = st.lists(
    st.tuples(st.binary(max_size=30).map(lambda raw: raw.replace(b"\n", b"")), st.booleans()), max_size=40
)


def written(lines: list[tuple[bytes, bool]]) -> bytes:
    return b"".join(
        f"{(START + timedelta(seconds=number)).isoformat()} stdout {'P' if partial else 'F'} ".encode()
        + content
        + b"\n"
        for number, (content, partial) in enumerate(lines)
    )


def naive(lines, *, tail_lines, since, limit_bytes, timestamps) -> bytes:
    """What the facts say, without any cleverness."""
    numbered = list(enumerate(lines))
    if tail_lines is not None:
        numbered = numbered[len(numbered) - min(tail_lines, len(numbered)) :]
    found, inside = b"", False
    for number, (content, partial) in numbered:
        if number < since:
            continue
        if timestamps and not inside:
            found += nine_digits((START + timedelta(seconds=number)).isoformat()).encode() + b" "
        found += content + (b"" if partial else b"\n")
        inside = partial
    return found if limit_bytes is None else found[:limit_bytes]


@given(
    lines=entries,
    tail_lines=st.none() | st.integers(0, 50),
    since=st.integers(0, 50),
    limit_bytes=st.none() | st.integers(1, 500),
    timestamps=st.booleans(),
)
def test_options_against_a_naive_reader(tmp_path_factory, lines, tail_lines, since, limit_bytes, timestamps):
    """tail, since, limit and timestamps, in every combination."""
    path = tmp_path_factory.mktemp("log") / "0.log"
    path.write_bytes(written(lines))
    options = {"tail_lines": tail_lines, "limit_bytes": limit_bytes, "timestamps": timestamps}
    found = asyncio.run(read(path, since=START + timedelta(seconds=since), **options))
    assert found == naive(lines, since=since, **options)


@pytest.mark.parametrize("tail_lines", [1, 5000, 9999, 10000, 20000])
async def test_tail_of_a_large_file(tmp_path, tail_lines):
    """The last lines are found across blocks."""
    path = tmp_path / "0.log"
    lines = [(f"line {number} {'x' * (number % 97)}".encode(), False) for number in range(10000)]
    path.write_bytes(written(lines))
    wanted = b"".join(content + b"\n" for content, _ in lines[-tail_lines:])
    assert await read(path, tail_lines=tail_lines) == wanted


async def test_rubbish_and_an_unfinished_last_line(tmp_path):
    """What is no line is left out, however long; the last line counts without its end."""
    path = tmp_path / "0.log"
    good = written([(b"one", False)])
    path.write_bytes(good + b"rubbish\n\n" + b"y" * (5 * 1024 * 1024) + b"\n" + good + written([(b"last", False)])[:-1])
    assert await read(path) == b"one\none\nlast\n"


class Follower:
    """A reader that follows in the background; the container runs until `stop`."""

    def __init__(self, path: Path, **options) -> None:
        self.running = True
        self.data = b""
        self._path, self._options = path, options
        self._changed = asyncio.Condition()
        self.task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        async def is_running() -> bool:
            return self.running

        async for piece in read_log(self._path, LogOptions(follow=True, **self._options), is_running):
            async with self._changed:
                self.data += piece
                self._changed.notify_all()

    async def until(self, wanted: bytes) -> None:
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(lambda: self.data.endswith(wanted))


def append(path: Path, *texts: str) -> None:
    with path.open("ab") as file:
        file.write(written([(text.encode(), False) for text in texts]))


async def test_follow_from_the_end(tmp_path):
    """With tail 0 only what comes later is seen; the end of the container is the end of the log."""
    path = tmp_path / "0.log"
    append(path, "before")
    follower = Follower(path, tail_lines=0)
    await asyncio.sleep(0)
    append(path, "after")
    await follower.until(b"after\n")
    follower.running = False
    append(path, "last words")
    await asyncio.wait_for(follower.task, 30)
    assert follower.data == b"after\nlast words\n"


async def test_follow_across_rotations(tmp_path):
    """Nothing is lost or doubled, also when the log is rotated faster than it is read, and the old files are packed."""
    path = tmp_path / "0.log"
    append(path, "0")
    follower = Follower(path)
    await follower.until(b"0\n")
    expected = ["0"]
    for number in range(1, 60):
        append(path, f"{number}")
        path.rename(tmp_path / f"0.log.20260101-0000{number:02}")
        append(path, f"{number}b")
        expected += [f"{number}", f"{number}b"]
        if number % 5 == 0:
            await follower.until(f"{number}b\n".encode())
        if number == 30:
            for old in sorted(tmp_path.glob("0.log.2*"))[:-1]:
                old.rename(old.with_name(f"{old.name}.gz"))
    await follower.until(b"59b\n")
    follower.running = False
    append(path, "end")
    await asyncio.wait_for(follower.task, 30)
    assert follower.data.decode().split() == [*expected, "end"]


async def test_follow_while_the_name_is_missing(tmp_path):
    """Between the rename and the new file the old one is still read."""
    path = tmp_path / "0.log"
    append(path, "one")
    follower = Follower(path)
    await follower.until(b"one\n")
    old = path.rename(tmp_path / "0.log.20260101-000000")
    append(old, "two")
    await follower.until(b"two\n")
    append(path, "three")
    await follower.until(b"three\n")
    follower.running = False
    append(path, "four")
    await asyncio.wait_for(follower.task, 30)
    assert follower.data == b"one\ntwo\nthree\nfour\n"


async def test_missing_file(tmp_path):
    """Told at once."""
    with pytest.raises(FileNotFoundError):
        await read(tmp_path / "none.log")
