"""exec, attach and port-forward into real containers, by every protocol."""

import asyncio
import hashlib
import json
from urllib.parse import urlencode

import pytest

pytestmark = pytest.mark.node

V4, V5 = "v4.channel.k8s.io", "v5.channel.k8s.io"
SUCCESS = {"metadata": {}, "status": "Success"}


def path(verb, pod, *command, **streams):
    query = [("command", part) for part in command] + [(name, "1") for name, on in streams.items() if on]
    return f"/{verb}/default/{pod}/main?{urlencode(query)}"


async def over_websocket(node, url, stdin=None, resize=None):
    """(stdout, stderr, Status) of one process."""
    found = {1: bytearray(), 2: bytearray(), 3: bytearray()}
    async with node.endpoint.http() as http, http.ws_connect(url, protocols=[V5], max_msg_size=0) as socket:
        if resize:
            await socket.send_bytes(b"\x04" + json.dumps({"Width": resize[0], "Height": resize[1]}).encode())
        if stdin is not None:

            async def feed():
                for start in range(0, len(stdin), 32768):
                    await socket.send_bytes(b"\x00" + stdin[start : start + 32768])
                await socket.send_bytes(b"\xff\x00")

            feeding = asyncio.create_task(feed())
        async for message in socket:
            found[message.data[0]] += message.data[1:]
        if stdin is not None:
            await feeding
    return bytes(found[1]), bytes(found[2]), json.loads(found[3])


async def over_spdy(node, spdy, url, stdin=None, resize=None, tty=False):
    async with spdy(node.endpoint, url, V5, V4) as (peer, chosen):
        assert chosen == V4
        names = ["error", *(["stdin"] if stdin is not None else []), "stdout", "resize" if tty else "stderr"]
        streams = {name: await peer.open(streamtype=name) for name in names}
        if resize:
            size = json.dumps({"Width": resize[0], "Height": resize[1]}).encode()
            await peer.send(streams["resize"], size)

        async def feed():
            for start in range(0, len(stdin or b""), 32768):
                await peer.send(streams["stdin"], stdin[start : start + 32768])
            if stdin is not None:
                await peer.send(streams["stdin"], b"", fin=True)

        feeding = asyncio.create_task(feed())
        await peer.until_gone()
        await feeding
        stderr = bytes(peer.received[streams["stderr"]]) if not tty else b""
        return bytes(peer.received[streams["stdout"]]), stderr, json.loads(peer.received[streams["error"]])


@pytest.fixture(params=["websocket", "spdy"])
def process(request, node, spdy):
    """Runs a command by one of the protocols: `process(pod, *command, stdin=…, tty=…, resize=…)`."""

    async def run(pod, *command, stdin=None, tty=False, resize=None, verb="exec"):
        url = path(verb, pod, *command, input=stdin is not None, output=True, error=not tty, tty=tty)
        if request.param == "websocket":
            return await over_websocket(node, url, stdin, resize)
        return await over_spdy(node, spdy, url, stdin, resize, tty)

    return run


async def test_exec(node, process):
    """Both streams and every kind of end: success, a code, a signal, a program that is not there."""
    await node.run("one", "sleep 1000")
    assert await process("one", "sh", "-c", "echo out; echo err >&2") == (b"out\n", b"err\n", SUCCESS)
    _, _, status = await process("one", "sh", "-c", "exit 42")
    assert status["details"] == {"causes": [{"reason": "ExitCode", "message": "42"}]}
    _, _, status = await process("one", "sh", "-c", "kill -9 $$")
    assert status["details"] == {"causes": [{"reason": "ExitCode", "message": "137"}]}
    _, _, status = await process("one", "/no/such/program")
    assert (status["reason"], status["code"]) == ("InternalError", 500)
    assert status["message"].startswith("Internal error occurred: error executing command in container: ")
    assert "no such file or directory" in status["message"]


async def test_stdin_to_its_end(node, process):
    """Megabytes go in, and their end is seen."""
    await node.run("one", "sleep 1000")
    stdin = bytes(range(256)) * 32768
    out, err, status = await process("one", "md5sum", stdin=stdin)
    assert (out, err, status) == (f"{hashlib.md5(stdin).hexdigest()}  -\n".encode(), b"", SUCCESS)


async def test_fifty_megabytes(node, process):
    """Large output arrives whole."""
    await node.run("one", "sleep 1000")
    out, _, status = await process("one", "sh", "-c", "head -c 50000000 /dev/zero | tr '\\0' x")
    assert (len(out), out.count(b"x"), status) == (50_000_000, 50_000_000, SUCCESS)


async def test_terminal(node, process):
    """With a TTY the program has one, of the client's size."""
    await node.run("one", "sleep 1000")
    script = "while [ \"$(stty size 2>/dev/null)\" != '33 111' ]; do sleep 0.05; done; stty size; test -t 0 && echo tty"
    out, _, status = await process("one", "sh", "-c", script, stdin=b"", tty=True, resize=(111, 33))
    assert (out, status) == (b"33 111\r\ntty\r\n", SUCCESS)


async def test_attach(node, process):
    """What is typed reaches the container's own process; its output comes back until it ends."""
    await node.run("one", 'while read line; do echo "got $line"; [ "$line" = bye ] && exit; done', stdin=True)
    out, err, status = await process("one", stdin=b"hello\nbye\n", verb="attach")
    assert (out, err, status) == (b"got hello\ngot bye\n", b"", SUCCESS)


async def test_ten_at_once(node, process):
    """Ten execs side by side, each with its own answer."""
    await node.run("one", "sleep 1000")
    jobs = [process("one", "sh", "-c", f"cat; exit {number}", stdin=f"in {number}".encode()) for number in range(10)]
    answers = await asyncio.gather(*jobs)
    assert [out for out, _, _ in answers] == [f"in {number}".encode() for number in range(10)]
    codes = [status.get("details", {"causes": [{"message": "0"}]})["causes"][0]["message"] for *_, status in answers]
    assert codes == [str(number) for number in range(10)]


async def test_a_client_that_goes_takes_its_process_along(node):
    """No process is left behind by a connection that breaks."""
    container_id = await node.run("one", "sleep 1000")
    async with node.endpoint.http() as http:
        socket = await http.ws_connect(path("exec", "one", "sleep", "54321", output=True), protocols=[V5])
        await socket.receive()
        await node.subject.eventually(lambda: there(node, container_id, True))
        socket._response.connection.transport.abort()
    await node.subject.eventually(lambda: there(node, container_id, False))


async def there(node, container_id, wanted):
    listed = await node.subject.sh(container_id, "ps -o args")
    return (("sleep 54321" in listed) is wanted) or None


REQUEST = b"GET /big HTTP/1.0\r\n\r\n"
WEB = "mkdir /tmp/w; head -c 5000000 /dev/zero | tr '\\0' w > /tmp/w/big; httpd -f -p 127.0.0.1:8080 -h /tmp/w"


async def fetch(node, peer):
    """A file of five megabytes from the pod's web server, three times at once."""
    await node.subject.eventually(lambda: listening(node))

    async def one(number):
        error = await peer.open(streamtype="error", port="8080", requestid=str(number))
        await peer.send(error, b"", fin=True)
        data = await peer.open(streamtype="data", port="8080", requestid=str(number))
        await peer.send(data, REQUEST)
        return error, data

    pairs = [await one(number) for number in range(3)]
    await peer.until(lambda: {data for _, data in pairs} <= peer.finished)
    for error, data in pairs:
        head, _, body = bytes(peer.received[data]).partition(b"\r\n\r\n")
        assert (head.split()[1], len(body), bytes(peer.received[error])) == (b"200", 5_000_000, b"")
        await peer.reset_stream(data)
    await peer.until(lambda: {error for error, _ in pairs} <= peer.finished)


async def listening(node):
    try:
        connection = await node.subject.streaming.open_port(node.subject.pods[0], 8080)
    except Exception:
        return None
    await connection.close()
    return True


async def test_port_forward_over_spdy(node, spdy):
    """A web server that listens on the pod's loopback only; a port without a listener is told."""
    await node.run("web", WEB)
    async with spdy(node.endpoint, "/portForward/default/web", "portforward.k8s.io") as (peer, _):
        await fetch(node, peer)
        error = await peer.open(streamtype="error", port="9", requestid="x")
        data = await peer.open(streamtype="data", port="9", requestid="x")
        await peer.until(lambda: {error, data} <= peer.finished)
        assert peer.received[error].startswith(b"error forwarding port 9 to pod web_default, uid ")
        assert b": failed to connect to localhost:9 inside the pod" in peer.received[error]


async def test_port_forward_through_a_tunnel(node, tunnel):
    """The same inside a WebSocket, as kubectl does it now."""
    await node.run("web", WEB)
    url = "/portForward/default/web"
    async with node.endpoint.http() as http, http.ws_connect(url, protocols=["SPDY/3.1+portforward.k8s.io"]) as socket:
        await fetch(node, tunnel(socket))
