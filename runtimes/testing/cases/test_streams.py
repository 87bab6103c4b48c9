"""Exec, attach, port-forward and logs."""

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.contract import StreamSession
from runtimes.testing.subject import Subject

pytestmark = pytest.mark.asyncio


async def read_all(session: StreamSession) -> tuple[dict[int, bytes], int]:
    """All output by stream number, and the exit code."""
    output = {1: b"", 2: b""}
    async for number, chunk in session.output():
        output[number] += chunk
    return output, await session.wait()


async def read_until(stream: AsyncIterator[tuple[int, bytes]], wanted: bytes) -> bytes:
    found = b""
    async with asyncio.timeout(20):
        async for _, chunk in stream:
            found += chunk
            if wanted in found:
                return found
    raise AssertionError(f"the stream ended with {found!r}")


def exec_request(container_id: str, *cmd: str, tty: bool = False, stdin: bool = False) -> cri.ExecRequest:
    return cri.ExecRequest(container_id=container_id, cmd=list(cmd), tty=tty, stdin=stdin, stdout=True, stderr=not tty)


def attach_request(container_id: str, *, tty: bool = False, stdin: bool = True) -> cri.AttachRequest:
    return cri.AttachRequest(container_id=container_id, stdin=stdin, tty=tty, stdout=True, stderr=not tty)


async def running(runtime: Subject, *script: str, name: str = "main", **fields: object) -> str:
    pod = await runtime.run_sandbox()
    config = runtime.container_config(*script, name=name)
    for key, value in fields.items():
        setattr(config, key, value)
    return await runtime.launch(pod, config)


async def processes(runtime: Subject, container_id: str, text: str, *, there: bool) -> None:
    """Until a process with that text in its arguments is in the container, or none is."""

    async def probe() -> bool | None:
        return ((text in await runtime.sh(container_id, "ps -o args")) is there) or None

    await runtime.eventually(probe)


# exec sync


async def test_exec_sync(runtime: Subject) -> None:
    """Both streams, the exit code, the container's user, environment and directory."""
    container_id = await running(runtime)
    response = await runtime.exec(
        container_id, "/bin/sh", "-c", "echo out; echo err >&2; echo $FROM_IMAGE; pwd; exit 3"
    )
    assert (response.stdout, response.stderr, response.exit_code) == (b"out\nyes\n/\n", b"err\n", 3)
    killed = await runtime.exec(container_id, "/bin/sh", "-c", "kill -9 $$")
    assert killed.exit_code == 137


@pytest.mark.parametrize(
    "script",
    [
        "exec sleep 8765",
        "sleep 8764 & sleep 8765",
        "trap '' TERM INT HUP; (sleep 8763; touch /went-on) & sh -c 'sleep 8764; touch /went-on'; touch /went-on",
        "(sh -c 'sleep 8763; true' &) ; sleep 8765",
    ],
    ids=["alone", "with a child", "deaf to signals", "with an orphan"],
)
async def test_exec_sync_times_out(runtime: Subject, script: str) -> None:
    """Timeout after the seconds given; by then the command is gone, with all it started, and nothing of it went on."""
    if script != "exec sleep 8765":
        runtime.needs("execs end with their children")
    if "(sh" in script:
        runtime.needs("orphans of execs")
    container_id = await running(runtime, "while :; do sleep 0.1; done")
    with pytest.raises(errors.Timeout):
        await runtime.exec(container_id, "/bin/sh", "-c", script, timeout=1)
    assert "876" not in await runtime.sh(container_id, "ps -o pid,args")
    assert await runtime.sh(container_id, "ls / | grep -c went-on || true") == "0\n"


async def test_a_cancelled_exec(runtime: Subject) -> None:
    """Whoever stops waiting for a command ends it, as its time-out would."""
    runtime.needs("execs end with their client")
    container_id = await running(runtime, "while :; do sleep 0.1; done")
    waiting = asyncio.create_task(runtime.exec(container_id, "/bin/sh", "-c", "sleep 8766; touch /went-on"))
    await processes(runtime, container_id, "sleep 8766", there=True)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert "8766" not in await runtime.sh(container_id, "ps -o args")
    assert await runtime.sh(container_id, "ls / | grep -c went-on || true") == "0\n"


async def test_exec_of_a_missing_command(runtime: Subject) -> None:
    """An error with the runtime's words, not an exit code."""
    container_id = await running(runtime)
    with pytest.raises(errors.RuntimeFault, match="no-such-command"):
        await runtime.exec(container_id, "no-such-command")


async def test_exec_needs_a_running_container(runtime: Subject) -> None:
    """Created and exited ones are WrongState."""
    pod = await runtime.run_sandbox()
    container_id = await runtime.create(pod, runtime.container_config())
    with runtime.refusal(errors.WrongState):
        await runtime.exec(container_id, "true")
    await runtime.start(container_id)
    await runtime.service.stop_container(cri.StopContainerRequest(container_id=container_id, timeout=0))
    with runtime.refusal(errors.WrongState):
        await runtime.exec(container_id, "true")


async def test_many_execs_at_once(runtime: Subject) -> None:
    """Ten at the same time, each with its own output."""
    container_id = await running(runtime)
    answers = await asyncio.gather(*(runtime.exec(container_id, "/bin/echo", str(number)) for number in range(10)))
    assert [answer.stdout for answer in answers] == [f"{number}\n".encode() for number in range(10)]


# exec sessions


async def test_exec_with_stdin(runtime: Subject) -> None:
    """Input arrives, its end too, and output until the last byte."""
    container_id = await running(runtime)
    session = await runtime.streaming.open_exec(exec_request(container_id, "/bin/cat", stdin=True))
    try:
        await session.write_stdin(b"first ")
        await session.write_stdin(b"second")
        await session.close_stdin()
        assert await read_all(session) == ({1: b"first second", 2: b""}, 0)
    finally:
        await session.close()


async def test_exec_without_stdin(runtime: Subject) -> None:
    """The command finds its input at its end, and only the streams that were asked for are sent."""
    container_id = await running(runtime)
    script = "cat; echo out; echo err >&2; exit 4"
    for chosen, expected in (
        ({"stdout": True}, {1: b"out\n", 2: b""}),
        ({"stderr": True}, {1: b"", 2: b"err\n"}),
        ({"stdout": True, "stderr": True}, {1: b"out\n", 2: b"err\n"}),
    ):
        request = cri.ExecRequest(container_id=container_id, cmd=["/bin/sh", "-c", script], **chosen)
        session = await runtime.streaming.open_exec(request)
        try:
            assert await read_all(session) == (expected, 4), chosen
        finally:
            await session.close()


async def test_exec_sync_of_much(runtime: Subject) -> None:
    """A megabyte on each stream arrives whole."""
    container_id = await running(runtime)
    script = "head -c 1000000 /dev/zero | tr '\\0' o; head -c 1000000 /dev/zero | tr '\\0' e >&2"
    response = await runtime.exec(container_id, "/bin/sh", "-c", script)
    assert (response.stdout, response.stderr) == (b"o" * 1_000_000, b"e" * 1_000_000)


async def test_exec_passes_large_data_without_loss(runtime: Subject) -> None:
    """Eight megabytes in and out again, while the reader is slow to begin."""
    container_id = await running(runtime)
    data = os.urandom(8 * 1024 * 1024)
    session = await runtime.streaming.open_exec(exec_request(container_id, "/bin/cat", stdin=True))
    digest, total = hashlib.sha256(), 0

    async def feed() -> None:
        for start in range(0, len(data), 100_000):
            await session.write_stdin(data[start : start + 100_000])
        await session.close_stdin()

    try:
        feeding = asyncio.create_task(feed())
        async for number, chunk in session.output():
            assert number == 1
            digest.update(chunk)
            total += len(chunk)
        await feeding
        assert (total, await session.wait()) == (len(data), 0)
        assert digest.digest() == hashlib.sha256(data).digest()
    finally:
        await session.close()


async def test_exec_with_a_terminal(runtime: Subject) -> None:
    """A terminal of the size asked for, resized later; what is typed arrives; the exit code is the command's."""
    container_id = await running(runtime)
    session = await runtime.streaming.open_exec(exec_request(container_id, "/bin/sh", tty=True, stdin=True))
    stream = session.output()
    try:
        await session.resize(100, 40)
        await session.write_stdin(b"test -t 0 && echo is-a-tt''y\n")
        await read_until(stream, b"is-a-tty")
        await session.resize(123, 45)
        # what is typed may overtake the new size on its way to the terminal
        await session.write_stdin(b"until stty size | grep '45 123'; do sleep 0.1; done; echo do''ne\n")
        await read_until(stream, b"done")
        await session.write_stdin(b"exit 11\n")
        async for _ in stream:
            pass
        assert await session.wait() == 11
    finally:
        await session.close()


async def test_closing_an_exec_kills_the_command(runtime: Subject) -> None:
    """Whoever goes away leaves no process behind, with and without a terminal."""
    runtime.needs("execs end with their client")
    container_id = await running(runtime)
    for tty in (False, True):
        session = await runtime.streaming.open_exec(exec_request(container_id, "/bin/sleep", "9753", tty=tty))
        await processes(runtime, container_id, "sleep 9753", there=True)
        await session.close()
        await session.close()
        assert "sleep 9753" not in await runtime.sh(container_id, "ps -o args")


async def test_an_exec_ends_with_its_container(runtime: Subject) -> None:
    """A container that is stopped takes its execs along."""
    container_id = await running(runtime)
    session = await runtime.streaming.open_exec(exec_request(container_id, "/bin/sleep", "1000"))
    try:
        reading = asyncio.create_task(read_all(session))
        await asyncio.sleep(0.3)
        await runtime.service.stop_container(cri.StopContainerRequest(container_id=container_id, timeout=0))
        async with asyncio.timeout(20):
            assert (await reading)[1] != 0
    finally:
        await session.close()


# attach


async def test_attach(runtime: Subject) -> None:
    """Output from then on, on the right stream; input; and the log has the same."""
    script = "while read line; do echo got $line; echo err $line >&2; done; echo end"
    container_id = await running(runtime, script, stdin=True, stdin_once=True)
    session = await runtime.streaming.open_attach(attach_request(container_id))
    try:
        await session.write_stdin(b"one\ntwo\n")
        await session.close_stdin()
        output, code = await read_all(session)
        assert (output, code) == ({1: b"got one\ngot two\nend\n", 2: b"err one\nerr two\n"}, 0)
    finally:
        await session.close()
    status = await runtime.exited(container_id)
    assert (status.exit_code, "got two" in Path(status.log_path).read_text()) == (0, True)


async def test_attach_without_stdin(runtime: Subject) -> None:
    """Only looking on, until the container ends."""
    container_id = await running(runtime, "while ! test -e /tmp/go; do sleep 0.05; done; echo seen; exit 3")
    session = await runtime.streaming.open_attach(attach_request(container_id, stdin=False))
    try:
        # the container may be gone, and this command with it, before it can say that it has succeeded
        await runtime.exec(container_id, "/bin/sh", "-c", "touch /tmp/go")
        output, _ = await read_all(session)
        assert output == {1: b"seen\n", 2: b""}
    finally:
        await session.close()
    assert (await runtime.exited(container_id)).exit_code == 3


async def test_attach_leaves_stdin_open(runtime: Subject) -> None:
    """Without stdin_once the container's input outlives the one that attached."""
    container_id = await running(runtime, "while read line; do echo got $line; done", stdin=True)
    for word in (b"one", b"two"):
        session = await runtime.streaming.open_attach(attach_request(container_id))
        try:
            await session.write_stdin(word + b"\n")
            await read_until(session.output(), b"got " + word)
        finally:
            await session.close()
    assert (await runtime.status(container_id)).state == cri.CONTAINER_RUNNING


async def test_attach_to_a_terminal(runtime: Subject) -> None:
    """A container with a terminal: one stream, and its size can be set."""
    container_id = await running(runtime, "exec sh", stdin=True, tty=True)
    session = await runtime.streaming.open_attach(attach_request(container_id, tty=True))
    stream = session.output()
    try:
        await session.resize(91, 37)
        await session.write_stdin(b"sleep 0.2; stty size; echo do''ne\n")
        assert b"37 91" in await read_until(stream, b"done")
        await session.write_stdin(b"exit 5\n")
        async for _ in stream:
            pass
    finally:
        await session.close()
    assert (await runtime.exited(container_id)).exit_code == 5


async def test_several_attached_see_the_same(runtime: Subject) -> None:
    """Everybody who is attached gets all output; one who leaves disturbs nobody."""
    container_id = await running(runtime, "while read line; do echo got $line; done", stdin=True)
    one, two = [await runtime.streaming.open_attach(attach_request(container_id)) for _ in range(2)]
    try:
        first, second = one.output(), two.output()

        async def write_often() -> (
            None
        ):  # a peer that streams by URL may connect to the container a moment after the upgrade
            while True:
                await one.write_stdin(b"x\n")
                await asyncio.sleep(0.1)

        writing = asyncio.create_task(write_often())
        await read_until(first, b"got x")
        await read_until(second, b"got x")
        writing.cancel()
        await one.close()
        await two.write_stdin(b"y\n")
        await read_until(second, b"got y")
    finally:
        await one.close()
        await two.close()


async def test_attach_needs_a_running_container(runtime: Subject) -> None:
    """An exited one is WrongState."""
    pod = await runtime.run_sandbox()
    container_id = await runtime.launch(pod, runtime.container_config("exit 0"))
    await runtime.exited(container_id)
    with runtime.refusal(errors.WrongState):
        await runtime.streaming.open_attach(attach_request(container_id))


# port forward


async def test_port_forward(runtime: Subject) -> None:
    """A connection to a server that listens inside the pod only; half-close works both ways."""
    pod = await runtime.run_sandbox()
    # gVisor of 2022 with --network=host: a read of an accepted socket fails with EAGAIN while there is nothing to read, where
    # it should wait; a server that does not poll has to ask again
    echo = "nc -l -p 8099 -e /bin/sh -c 'until cat 2>/dev/null; do sleep 0.05; done'"
    container_id = await runtime.launch(pod, runtime.container_config(f"while :; do {echo}; done"))

    async def listening() -> bool | None:
        return ":8099" in await runtime.sh(container_id, "netstat -ltn") or None

    await runtime.eventually(listening)
    connection = await runtime.streaming.open_port(pod[0], 8099)
    await asyncio.sleep(0.1)  # the server is reading by now
    try:
        data = os.urandom(300_000)

        async def feed() -> None:
            await connection.write(data)
            await connection.write_eof()

        feeding = asyncio.create_task(feed())
        found = b""
        while chunk := await connection.read(65536):
            found += chunk
        await feeding
        assert found == data
    finally:
        await connection.close()


async def test_port_forward_to_nobody(runtime: Subject) -> None:
    """A port on which nobody listens is Unavailable, at once or at the first read; an unknown sandbox NotFound."""
    pod = await runtime.run_sandbox()

    async def read_one() -> bytes:
        connection = await runtime.streaming.open_port(pod[0], 8098)
        try:
            return await connection.read(1)
        finally:
            await connection.close()

    with pytest.raises(errors.Unavailable, match="8098"):
        await read_one()
    with pytest.raises(errors.NotFound):
        await runtime.streaming.open_port("0" * 64, 8098)


# logs


async def test_long_and_partial_lines(runtime: Subject) -> None:
    """A line longer than the writer's buffer is logged in parts, and nothing is lost; so is one without an end."""
    status, _ = await runtime.run("head -c 40000 /dev/zero | tr '\\0' x; echo; printf unfinished")
    lines = [line.split(" ", 3) for line in Path(status.log_path).read_text().splitlines()]
    assert "".join(line[3] for line in lines) == "x" * 40000 + "unfinished"
    assert {line[2] for line in lines} <= {"F", "P"}
    assert "".join(line[3] for line in lines[: [line[2] for line in lines].index("F") + 1]) == "x" * 40000


async def test_a_log_is_reopened(runtime: Subject) -> None:
    """After a rename and ReopenContainerLog the new lines are in a new file, and none is lost."""
    runtime.needs("processes")
    container_id = await running(runtime, "i=0; while :; do echo $i; i=$((i+1)); sleep 0.01; done")
    log = Path((await runtime.status(container_id)).log_path)
    await runtime.until(lambda: len(log.read_text().splitlines()) > 3)
    rotated = log.with_suffix(".1")
    log.rename(rotated)
    await runtime.service.reopen_container_log(cri.ReopenContainerLogRequest(container_id=container_id))
    assert log.exists()
    await runtime.until(lambda: len(log.read_text().splitlines()) > 3)
    await runtime.service.stop_container(cri.StopContainerRequest(container_id=container_id, timeout=0))
    numbers = [int(line.split(" ")[3]) for path in (rotated, log) for line in path.read_text().splitlines()]
    assert numbers == list(range(len(numbers)))
    with runtime.refusal(errors.WrongState):
        await runtime.service.reopen_container_log(cri.ReopenContainerLogRequest(container_id=container_id))


async def test_the_form_of_a_log(runtime: Subject) -> None:
    """Each line has its time, of nanoseconds and in order, its stream, F for a whole line, and the text as it was. Which of
    two streams is read first is up to the monitor, so the order is that of each stream."""
    status, _ = await runtime.run("echo one; echo two >&2; echo; printf 'a\\tb  c\\n'; echo three >&2")
    lines = [line.split(" ", 3) for line in Path(status.log_path).read_text().splitlines()]
    assert [line[1:] for line in lines if line[1] == "stdout"] == [
        ["stdout", "F", "one"],
        ["stdout", "F", ""],
        ["stdout", "F", "a\tb  c"],
    ]
    assert [line[1:] for line in lines if line[1] != "stdout"] == [["stderr", "F", "two"], ["stderr", "F", "three"]]
    form = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}(Z|[+-]\d\d:\d\d)")
    assert all(form.fullmatch(line[0]) for line in lines), lines
    for stream in ("stdout", "stderr"):
        times = [line[0] for line in lines if line[1] == stream]
        assert times == sorted(times)


async def test_the_log_of_a_terminal(runtime: Subject) -> None:
    """All of it is stdout, with the terminal's line ends or without; a line may come in parts, the last one full."""
    container_id = await running(runtime, "test -t 1 && echo out; echo err >&2", tty=True)
    status = await runtime.exited(container_id)
    said = ""
    for line in Path(status.log_path).read_text().splitlines():
        _, stream, tag, text = line.split(" ", 3)
        assert stream == "stdout"
        said += text if tag == "P" else f"{text}\n"
    assert said.replace("\r\n", "\n") == "out\nerr\n"


async def test_a_container_without_a_log(runtime: Subject) -> None:
    """No path, no log: it runs all the same."""
    container_id = await running(runtime, "echo nobody reads this; exit 2", log_path="")
    status = await runtime.exited(container_id)
    assert (status.exit_code, status.log_path) == (2, "")
