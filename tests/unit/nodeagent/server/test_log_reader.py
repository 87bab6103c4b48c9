"""Reading container logs: every option against a naive reference, and following across rotations."""

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeagent.container_logs.folder import LogFolder
from nodeagent.container_logs.packing import pack
from nodeagent.server import log_chain
from nodeagent.server.log_chain import LogChain, open_log, tail_position
from nodeagent.server.log_lines import Line, nine_digits, parse_line, parse_time
from nodeagent.server.log_reader import LogOptions, read_log

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DEADLINE_SECONDS = 60.0


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            b"2026-01-02T03:04:05.1Z stdout F hello world",
            Line("2026-01-02T03:04:05.1Z", "stdout", False, b"hello world"),
        ),
        (b"2026-01-02T03:04:05.1Z stderr P half", Line("2026-01-02T03:04:05.1Z", "stderr", True, b"half")),
        (b"t stdout P:extra x", Line("t", "stdout", True, b"x")),
        (b"t stdout F:P x", Line("t", "stdout", False, b"x")),
        (b"t stdout F ", Line("t", "stdout", False, b"")),
        (b"t stdout F", Line("t", "stdout", False, b"")),
        (b"t stdout F  two  spaces ", Line("t", "stdout", False, b" two  spaces ")),
        (b'{"log":"hi\\n","stream":"stderr","time":"t"}', Line("t", "stderr", False, b"hi")),
        (b'{"log":"hi","stream":"stdout","time":"t"}', Line("t", "stdout", True, b"hi")),
        (b'{"log":"hi"}', None),
        (b"{", None),
        (b"", None),
        (b"t stdin F x", None),
        (b"no line", None),
    ],
)
def test_parse_line(raw: bytes, expected: Line | None) -> None:
    """CRI lines with their tags, Docker's lines, and what is neither."""
    assert parse_line(raw) == expected


@pytest.mark.parametrize(
    ("text", "nine", "time"),
    [
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000000000Z", START),
        ("2026-01-02T03:04:05.1Z", "2026-01-02T03:04:05.100000000Z", START + timedelta(microseconds=100_000)),
        ("2026-01-02T03:04:05.123456789Z", "2026-01-02T03:04:05.123456789Z", START + timedelta(microseconds=123_456)),
        ("2026-01-02T05:04:05+02:00", "2026-01-02T05:04:05.000000000+02:00", START),
        ("2026-01-02T05:04:05.5+02:00", "2026-01-02T05:04:05.500000000+02:00", START + timedelta(microseconds=500_000)),
    ],
)
def test_times(text: str, nine: str, time: datetime) -> None:
    """Any number of digits is read, exactly nine are shown."""
    assert (nine_digits(text), parse_time(text)) == (nine, time)


def written(number: int) -> datetime:
    return START + timedelta(seconds=number)


def cri_line(number: int, content: bytes, *, partial: bool = False, stream: str = "stdout") -> bytes:
    time = f"{written(number):%Y-%m-%dT%H:%M:%S}.000000000Z"
    return b" ".join([time.encode(), stream.encode(), b"P" if partial else b"F", content]) + b"\n"


Entry = tuple[bytes, bool, str]
ENTRIES = st.lists(
    st.tuples(
        st.binary(max_size=30).map(lambda data: data.replace(b"\n", b"")),
        st.booleans(),
        st.sampled_from(["stdout", "stderr"]),
    ),
    max_size=12,
)


def reference(entries: list[Entry], options: LogOptions) -> bytes:
    """What is to be sent, the slow and plain way."""
    numbered = list(enumerate(entries))
    if options.tail_lines is not None:
        numbered = numbered[max(0, len(numbered) - options.tail_lines) :]
    sent, inside = b"", False
    for number, (content, partial, _) in numbered:
        if options.since is not None and written(number) < options.since:
            continue
        if options.timestamps and not inside:
            sent += f"{written(number):%Y-%m-%dT%H:%M:%S}.000000000Z ".encode()
        sent += content + (b"" if partial else b"\n")
        inside = partial
    return sent if options.limit_bytes is None else sent[: options.limit_bytes]


async def ended() -> bool:
    return False


async def whole(path: Path, options: LogOptions, is_running: Callable[[], Awaitable[bool]] = ended) -> bytes:
    async with asyncio.timeout(DEADLINE_SECONDS):
        return b"".join([piece async for piece in read_log(path, options, is_running)])


@settings(max_examples=150, deadline=None)
@given(
    ENTRIES,
    st.booleans(),
    st.booleans(),
    st.none() | st.integers(0, 14),
    st.none() | st.integers(-1, 14),
    st.none() | st.integers(1, 200),
)
def test_options_against_a_reference(
    entries: list[Entry], follow: bool, timestamps: bool, tail: int | None, since: int | None, limit: int | None
) -> None:
    """Every combination of options sends what the reference sends; following a log that has ended makes no difference."""
    options = LogOptions(
        follow=follow,
        timestamps=timestamps,
        tail_lines=tail,
        since=None if since is None else written(since),
        limit_bytes=limit,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "0.log"
        lines = [
            cri_line(number, content, partial=partial, stream=stream)
            for number, (content, partial, stream) in enumerate(entries)
        ]
        path.write_bytes(b"".join(lines))
        assert asyncio.run(whole(path, options)) == reference(entries, options)


@pytest.mark.parametrize("lines", [0, 1, 2, 999, 1000, 1001])
@pytest.mark.parametrize("end", [b"\n", b"\nunfinished"])
def test_tail_of_large_files(tmp_path: Path, lines: int, end: bytes) -> None:
    """The tail is found across blocks, whether or not the last line is finished."""
    text = b"\n".join(b"%d " % number + b"x" * (number % 400) for number in range(1000)) + end
    (tmp_path / "log").write_bytes(text)
    with open(tmp_path / "log", "rb") as file:
        found = text[tail_position(file.fileno(), lines) :]
    assert found == b"".join(text.splitlines(keepends=True)[-lines:] if lines else [])


@pytest.mark.parametrize("cached", [(), (0,), (1, 2)], ids=["nothing", "the first block", "blocks between"])
async def test_what_is_not_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cached: tuple[int, ...]
) -> None:
    """Blocks that would have to wait for the disk are read off the loop, and follow upon the others without a gap."""
    path = tmp_path / "0.log"
    path.write_bytes(b"".join(cri_line(number, b"x" * 100) for number in range(5000)))
    at_once, asked = log_chain._read_cached, list[int]()

    def read(fd: int) -> bytes | None:
        asked.append(len(asked))
        return at_once(fd) if asked[-1] in cached else None

    monkeypatch.setattr(log_chain, "_read_cached", read)
    assert await whole(path, LogOptions()) == (b"x" * 100 + b"\n") * 5000
    assert len(asked) > 4
    asked.clear()
    assert await whole(path, LogOptions(tail_lines=4000)) == (b"x" * 100 + b"\n") * 4000


async def test_bad_lines_are_skipped(tmp_path: Path) -> None:
    """Lines that are none do not stop the reader."""
    path = tmp_path / "0.log"
    path.write_bytes(b"rubbish\n" + cri_line(0, b"one") + b"\n{\n\xff\xfe\n" + cri_line(1, b"two"))
    assert await whole(path, LogOptions()) == b"one\ntwo\n"


async def test_missing_file(tmp_path: Path) -> None:
    """A log that cannot be opened is an error before anything is sent."""
    with pytest.raises(FileNotFoundError):
        await whole(tmp_path / "0.log", LogOptions())


class Writer:
    """A container that writes and is rotated, one step each time the reader has come to the end of what there is."""

    def __init__(self, path: Path, steps: list[Callable[["Writer"], None]]) -> None:
        self.path = path
        self.steps = steps
        self.number = 0
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(self, count: int = 1) -> None:
        for _ in range(count):
            os.write(self.file, cri_line(self.number, b"%d" % self.number))
            self.number += 1

    def rename(self) -> None:
        self.path.rename(self.path.with_name(f"0.log.20260102-{self.number:06d}"))

    def reopen(self) -> None:
        os.close(self.file)
        self.file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def is_running(self) -> bool:
        if not self.steps:
            return False
        self.steps.pop(0)(self)
        return True


def rotate(writer: Writer) -> None:
    writer.write(2)
    writer.rename()
    writer.write(2)  # still to the old file: it is told to open the new one only now
    writer.reopen()
    writer.write(2)


ROTATIONS: dict[str, list[Callable[[Writer], None]]] = {
    "none": [Writer.write, Writer.write],
    "once": [Writer.write, rotate, Writer.write],
    "several": [rotate, rotate, rotate, Writer.write],
    "nothing written in between": [Writer.rename, Writer.reopen, Writer.write],
    "lines after the rename": [Writer.rename, Writer.write, Writer.reopen, Writer.write],
    "two at once": [lambda writer: (rotate(writer), rotate(writer), None)[-1], Writer.write],
    "large": [lambda writer: writer.write(3000), rotate, lambda writer: writer.write(3000)],
}


@pytest.mark.parametrize("steps", ROTATIONS.values(), ids=ROTATIONS.keys())
async def test_follow_across_rotations(tmp_path: Path, steps: list[Callable[[Writer], None]]) -> None:
    """Every line arrives once and in order, whenever the log is renamed and begun again."""
    writer = Writer(tmp_path / "0.log", list(steps))
    writer.write(3)
    try:
        sent = await whole(writer.path, LogOptions(follow=True), writer.is_running)
    finally:
        os.close(writer.file)
    assert sent.split() == [b"%d" % number for number in range(writer.number)]


async def test_follow_from_the_end(tmp_path: Path) -> None:
    """With tail 0 only what comes is sent, and limitBytes ends a log that would go on."""
    writer = Writer(tmp_path / "0.log", [Writer.write] * 10)
    writer.write(3)
    try:
        sent = await whole(writer.path, LogOptions(follow=True, tail_lines=0, limit_bytes=4), writer.is_running)
    finally:
        os.close(writer.file)
    assert sent == b"3\n4\n"


async def test_follow_lags_behind(tmp_path: Path) -> None:
    """A reader whose client is slow finds its way through files that were rotated, and packed up, meanwhile."""
    path = tmp_path / "0.log"

    def rotate_and_pack(writer: Writer) -> None:
        for _ in range(3):
            writer.write(5)
            writer.rename()
            writer.reopen()
        writer.write(5)
        folder = LogFolder(tmp_path)
        for name in sorted(folder.names())[1:]:
            assert pack(folder, name)
        folder.close()

    writer = Writer(path, [rotate_and_pack, Writer.write, rotate])
    writer.write(3)
    try:
        sent = await whole(path, LogOptions(follow=True), writer.is_running)
    finally:
        os.close(writer.file)
    assert sent.split() == [b"%d" % number for number in range(writer.number)]
    assert len(list(tmp_path.glob("*.gz"))) == 3


async def test_follow_waits_for_a_flush(tmp_path: Path) -> None:
    """A runtime that begins the new file before it has written the last lines to the old one loses none of them."""
    path = tmp_path / "0.log"

    def begin_anew(writer: Writer) -> None:
        writer.rename()
        new = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(new, cri_line(1, b"1"))

        def flush() -> None:
            if writer.number < 20:  # the new file grows meanwhile
                os.write(new, cri_line(0, b""))
                writer.number += 1
                asyncio.get_running_loop().call_later(0.01, flush)
                return
            os.write(writer.file, cri_line(0, b"0"))
            os.close(writer.file)
            writer.file = new

        asyncio.get_running_loop().call_later(0.1, flush)

    writer = Writer(path, [begin_anew])
    try:
        sent = await whole(path, LogOptions(follow=True), writer.is_running)
    finally:
        os.close(writer.file)
    assert sent == b"0\n1\n" + b"\n" * 20


async def test_the_last_lines_after_a_rotation(tmp_path: Path) -> None:
    """A container that ends right after its log was rotated: the new file is read too."""

    async def is_running() -> bool:
        if writer.number == 3:
            rotate(writer)
        return False

    writer = Writer(tmp_path / "0.log", [])
    writer.write(3)
    try:
        sent = await whole(writer.path, LogOptions(follow=True), is_running)
    finally:
        os.close(writer.file)
    assert sent.split() == [b"%d" % number for number in range(9)]


async def test_links_are_not_followed(tmp_path: Path) -> None:
    """A log, or a folder of the path below all pods' logs, that is a link is not read; pipes do not block."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "0.log").write_bytes(cri_line(0, b"secret"))
    logs = tmp_path / "logs"
    (logs / "pod").mkdir(parents=True)
    (logs / "pod" / "main").symlink_to(tmp_path / "secret")
    (logs / "pod" / "link").mkdir()
    (logs / "pod" / "link" / "0.log").symlink_to(tmp_path / "secret" / "0.log")
    os.mkfifo(logs / "pod" / "link" / "1.log")
    for name in ("main/0.log", "link/0.log", "link/1.log"):
        with pytest.raises(OSError):
            LogChain(logs / "pod" / name, logs)
    (tmp_path / "var").symlink_to(logs)
    (logs / "pod" / "good").mkdir()
    (logs / "pod" / "good" / "0.log").write_bytes(cri_line(0, b"good"))
    LogChain(tmp_path / "var" / "pod" / "good" / "0.log", tmp_path / "var").close()


async def test_a_log_that_was_just_renamed(tmp_path: Path) -> None:
    """Between rename and reopen there is no live log: whoever asks then waits for the new one."""
    path = tmp_path / "0.log"
    asyncio.get_running_loop().call_later(0.1, path.write_bytes, cri_line(0, b"new"))
    chain = await open_log(path)
    assert await chain.lines() == cri_line(0, b"new")
    chain.close()
