"""kubectl against a pod of a whole node: logs, exec, attach; and who is kept out of the node's endpoint."""

import contextlib
import hashlib
import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from dashboards import ASKED_FOR
from kubectl_under_test import CLIENTS, forwarded, in_terminal, run
from node_under_test import NodeUnderTest, eventually, pod_object, restart_count
from prometheus_client.parser import text_string_to_metric_families

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("agent-kubectl")]

TALKER = "trap 'exit 0' TERM; i=0; while true; do i=$((i+1)); echo line $i; sleep 0.2; done"


@pytest.fixture(scope="module")
def talker(node: NodeUnderTest) -> str:
    """A pod that writes a numbered line now and then."""
    node.apply(pod_object("talker", "sh", "-c", TALKER))
    node.running("talker")
    return "talker"


def test_logs(node: NodeUnderTest, talker: str) -> None:
    """Whole, the last lines, with times, by bytes."""
    eventually(lambda: "line 5" in node.kubectl("logs", talker), "five lines")
    lines = node.kubectl("logs", talker).splitlines()
    assert lines[:3] == ["line 1", "line 2", "line 3"]
    assert len(node.kubectl("logs", talker, "--tail=2").splitlines()) == 2
    assert node.kubectl("logs", talker, "--timestamps").splitlines()[0].endswith(
        "Z line 1"
    ) or "line 1" in node.kubectl("logs", talker, "--timestamps")
    assert node.kubectl("logs", talker, "--limit-bytes=6") == "line 1"
    assert node.kubectl("logs", talker, "--since=1s").splitlines()[0] != "line 1"


def test_logs_follow_until_the_container_ends(node: NodeUnderTest) -> None:
    """`logs -f` shows every line once and ends with the container."""
    node.apply(
        pod_object("counted", "sh", "-c", "for i in $(seq 1 20); do echo $i; sleep 0.1; done", restartPolicy="Never")
    )
    node.pod_when("counted", lambda pod: pod["status"]["phase"] in ("Running", "Succeeded"))
    assert node.kubectl("logs", "-f", "counted").split() == [str(number) for number in range(1, 21)]


def test_previous_log(node: NodeUnderTest) -> None:
    """`logs -p` shows the run before this one."""
    node.apply(pod_object("again", "sh", "-c", "echo run; exit 1"))
    node.pod_when("again", lambda pod: restart_count(pod) >= 1)
    assert eventually(lambda: "run" in node.kubectl("logs", "-p", "again", check=False), "previous log")


def test_exec(node: NodeUnderTest, talker: str) -> None:
    """Output, standard input to its end, exit codes; a program that is not there."""
    assert node.kubectl("exec", talker, "--", "echo", "hello") == "hello\n"
    assert (
        node.kubectl("exec", "-i", talker, "--", "sh", "-c", "cat; echo end", stdin="one\ntwo\n") == "one\ntwo\nend\n"
    )
    environment = {**os.environ, "KUBECONFIG": str(node.kubeconfig)}
    for code in (0, 3, 42):
        done = subprocess.run(
            ["kubectl", "exec", talker, "--", "sh", "-c", f"exit {code}"],
            env=environment,
            capture_output=True,
            timeout=60,
        )
        assert done.returncode == code
    assert "no such file" in node.kubectl("exec", talker, "--", "/no/such/program", check=False)


def test_exec_loses_nothing(node: NodeUnderTest, talker: str) -> None:
    """Ten megabytes arrive whole."""
    count = node.kubectl("exec", talker, "--", "sh", "-c", "head -c 10000000 /dev/zero | tr '\\0' x")
    assert len(count) == 10_000_000
    assert set(count) == {"x"}


def test_nobody_gets_in_without_a_name(node: NodeUnderTest, talker: str) -> None:
    """The node's endpoint answers 401 to the unauthenticated and to made-up tokens, for every path."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for path in (
        "/pods",
        f"/exec/default/{talker}/c?command=id&output=1",
        "/containerLogs/default/talker/c",
        "/healthz",
        "/nothing",
    ):
        for headers in ({}, {"Authorization": "Bearer made-up"}):
            connection = http.client.HTTPSConnection("127.0.0.1", node.port, context=context, timeout=10)
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (401, b"Unauthorized")
            connection.close()


def test_stock_commands(node: NodeUnderTest, talker: str) -> None:
    """get in its forms, describe, label, wait, explain, api-resources, top's clean refusal."""
    wide = node.kubectl("get", "pods", "-o", "wide")
    assert node.pod(talker)["status"]["podIP"] in wide
    assert "Started" in node.kubectl("describe", "pod", talker)
    assert "Non-terminated Pods" in node.kubectl("describe", "node", node.name)
    node.kubectl("label", "pod", talker, "role=talk")
    assert node.kubectl("get", "pods", "-l", "role=talk", "-o", "name") == f"pod/{talker}\n"
    node.kubectl("wait", "--for=condition=Ready", f"pod/{talker}", "--timeout=30s")
    assert "pods" in node.kubectl("api-resources")
    assert "containers" in node.kubectl("explain", "pod.spec")


# -- streams, with an old and a new client --------------------------------------------------------------------------------


@pytest.mark.parametrize("client", CLIENTS)
def test_exec_of_every_client(node: NodeUnderTest, talker: str, client: str) -> None:
    """Exit codes, both outputs apart, standard input to its end."""
    for code in (0, 3, 42):
        assert run(node, client, "exec", talker, "--", "sh", "-c", f"exit {code}").returncode == code
    both = run(node, client, "exec", talker, "--", "sh", "-c", "echo out; echo err >&2")
    assert (both.returncode, both.stdout, both.stderr) == (0, b"out\n", b"err\n")
    done = run(node, client, "exec", "-i", talker, "--", "sh", "-c", "cat; echo end", stdin=b"one\ntwo\n")
    assert (done.returncode, done.stdout) == (0, b"one\ntwo\nend\n")


@pytest.mark.parametrize("client", CLIENTS)
def test_ten_megabytes_both_ways(node: NodeUnderTest, talker: str, client: str) -> None:
    """What goes in comes out, to the last byte."""
    payload = os.urandom(10_000_000)
    assert run(node, client, "exec", "-i", talker, "--", "cat", stdin=payload).stdout == payload


@pytest.mark.parametrize("client", CLIENTS)
def test_terminal_of_every_client(node: NodeUnderTest, talker: str, client: str) -> None:
    """With a TTY the program sees one, of the size of the caller's."""
    assert b"33 111" in in_terminal(
        node, client, "exec", "-it", talker, "--", "sh", "-c", "'sleep 0.5; test -t 0 && stty size'"
    )


@pytest.mark.parametrize("client", CLIENTS)
def test_copy(node: NodeUnderTest, talker: str, client: str, tmp_path: Path) -> None:
    """`cp` takes a file in and out again unchanged."""
    sent, back = tmp_path / "sent", tmp_path / "back"
    sent.write_bytes(os.urandom(1_000_000))
    for source, target in ((str(sent), f"{talker}:/tmp/copied"), (f"{talker}:/tmp/copied", str(back))):
        done = run(node, client, "cp", source, target)
        assert done.returncode == 0, done.stderr
    inside = run(node, client, "exec", talker, "--", "sha256sum", "/tmp/copied").stdout.split()[0].decode()
    assert [inside, back.read_bytes()] == [hashlib.sha256(sent.read_bytes()).hexdigest(), sent.read_bytes()]


@pytest.mark.parametrize("client", CLIENTS)
def test_attach(node: NodeUnderTest, client: str, request: pytest.FixtureRequest) -> None:
    """What is typed reaches the container's own process, and its answer the caller, who leaves when it ends."""
    name = f"listener-{request.node.callspec.id.replace('.', '-')}"
    pod = pod_object(name, "sh", "-c", "read word; echo heard $word", restartPolicy="Never")
    pod["spec"]["containers"][0] |= {"stdin": True, "stdinOnce": True}
    node.apply(pod)
    node.running(name)
    assert b"heard hello\n" in run(node, client, "attach", "-i", name, stdin=b"hello\n").stdout


@pytest.fixture(scope="module")
def web(node: NodeUnderTest) -> str:
    """A pod that serves the demo page, and ten megabytes."""
    command = "head -c 10000000 /dev/zero | tr '\\0' x > /www/large && exec httpd -f -p 8080 -h /www"
    node.apply(pod_object("web", "sh", "-c", command))
    node.running("web")

    def listens() -> bool:
        return "It runs" in node.kubectl("exec", "web", "--", "wget", "-qO-", "127.0.0.1:8080", check=False)

    eventually(listens, "web server")
    return "web"


@pytest.mark.parametrize("client", CLIENTS)
def test_port_forward(node: NodeUnderTest, web: str, client: str) -> None:
    """The page arrives, several times over one session, and a large file whole."""
    with forwarded(node, client, web, 8080) as address:
        for _ in range(3):
            with urllib.request.urlopen(f"{address}/", timeout=30) as answer:
                assert b"It runs." in answer.read()
        with urllib.request.urlopen(f"{address}/large", timeout=60) as answer:
            assert answer.read() == b"x" * 10_000_000


def test_new_clients_use_websocket(node: NodeUnderTest, web: str) -> None:
    """exec of kubectl 1.32 is v5 WebSocket: it does not have to fall back to SPDY."""
    done = run(node, "kubectl", "exec", "-v=8", web, "--", "true")
    assert (done.returncode, b"fallback" in done.stderr) == (0, False), done.stderr
    assert b"Sec-Websocket-Protocol: v5.channel.k8s.io" in done.stderr.replace(b"WebSocket", b"Websocket"), done.stderr


def on_a_screen(command: list[str], until: bytes) -> bytes:
    """What a command writes to its terminal until it is interrupted, once `until` has been seen twice."""
    ours, theirs = os.openpty()
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as process:
        os.close(theirs)
        seen, interrupted = b"", False
        with contextlib.suppress(OSError), open(ours, "rb", buffering=0) as terminal:  # EIO: the other side is closed
            while piece := terminal.read(65536):
                seen += piece
                if seen.count(until) > 1 and not interrupted:
                    interrupted = True
                    process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
    return seen


def check_dashboards(node: NodeUnderTest, pod: str) -> None:
    """Every series that well-known readers ask for is there, with the labels that they use, in text that parses."""
    for page, asked in ASKED_FOR.items():
        text = node.kubectl("get", "--raw", f"/api/v1/nodes/{node.name}/proxy{page}")
        found: dict[str, list[frozenset[str]]] = {}
        for family in text_string_to_metric_families(text):
            assert family.type != "unknown", family.name
            for sample in family.samples:
                if sample.labels.get("pod", pod) == pod:
                    labels = frozenset(key for key, value in sample.labels.items() if value)
                    found.setdefault(sample.name, []).append(labels)
        lacking = {
            name: found.get(name)
            for name, labels in asked.items()
            if not any(labels <= has for has in found.get(name, ()))
        }
        assert not lacking, page


def test_top(node: NodeUnderTest) -> None:
    """`kubectl top` shows the node, and that a pod uses the CPU and the memory that it does, no more than it may.

    Dashboards find what they ask for.
    """
    burner = "head -c 33554432 /dev/zero | tail -c 33554432 > /dev/shm/held; while true; do :; done"
    limits = {"cpu": "200m", "memory": "128Mi"}
    manifest = pod_object("burner", "sh", "-c", burner, resources={"limits": limits})
    manifest["spec"]["containers"][0]["livenessProbe"] = {"exec": {"command": ["true"]}, "periodSeconds": 1}
    node.apply(manifest)
    node.running("burner")

    def measured() -> tuple[int, int] | None:
        lines = node.kubectl("top", "pod", "burner", "--no-headers", check=False).split()
        if len(lines) != 3 or lines[0] != "burner":
            return None
        found = int(lines[1].removesuffix("m")), int(lines[2].removesuffix("Mi"))
        return found if found[0] >= 50 and found[1] >= 32 else None

    cpu, memory = eventually(measured, "the burner's usage")
    assert cpu <= 260 and memory <= 128
    name, millicores, _, mebibytes, _ = node.kubectl("top", "node", "--no-headers").split()
    assert name == node.name
    assert int(millicores.removesuffix("m")) > 50 and int(mebibytes.removesuffix("Mi")) > 32
    rows = node.kubectl("get", "pods.metrics.k8s.io", "burner").splitlines()
    assert (rows[0].split(), rows[1].split()[0]) == (["NAME", "CPU", "MEMORY", "WINDOW"], "burner")
    command = [sys.executable, "-m", "nodeagent", "top", f"--kubeconfig={node.kubeconfig}", "--once"]
    found = json.loads(subprocess.run([*command, "-o", "json"], capture_output=True, timeout=60, check=True).stdout)
    (burner,) = (pod for pod in found["pods"] if pod["name"] == "burner")
    assert (found["name"], found["ready"]) == (node.name, True)
    assert 50 <= burner["cpu_millicores"] <= 260 and burner["memory_bytes"] >= 32 << 20
    hard = {each["signal"] for each in found["thresholds"] if each["hard"]}
    assert hard >= {"memory.available", "nodefs.available", "imagefs.available"}
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "burner" in shown and "\x1b" not in shown
    screen = on_a_screen(command[:-1], until=b"burner")
    assert screen.startswith(b"\x1b[?1049h") and screen.endswith(b"\x1b[?1049l")
    check_dashboards(node, "burner")
    node.kubectl("delete", "pod", "burner", "--now")
