"""Health, pod lists, configuration, and what is switched off."""

import json

import aiohttp
import pytest

ALL = "[+]ping ok\n[+]log ok\n[+]syncloop ok\n"
SICK = "[+]ping ok\n[+]log ok\n[-]syncloop failed: reason withheld\n"


@pytest.mark.parametrize(
    ("path", "healthy", "sick"),
    [
        ("/healthz", (200, "ok"), (500, f"{SICK}healthz check failed\n")),
        ("/healthz?verbose", (200, f"{ALL}healthz check passed\n"), (500, f"{SICK}healthz check failed\n")),
        ("/healthz?exclude=syncloop", (200, "ok"), (200, "ok")),
        ("/healthz/ping", (200, "ok"), (200, "ok")),
        ("/healthz/syncloop", (200, "ok"), (500, "internal server error: reason withheld\n")),
        ("/healthz/other", (404, "404: Page Not Found"), (404, "404: Page Not Found")),
    ],
)
async def test_healthz(endpoint, path, healthy, sick):
    """Each check by name, all together, with and without words."""
    assert await endpoint.get(path) == healthy
    endpoint.healthy = False
    assert await endpoint.get(path) == sick


async def test_healthz_has_the_checks_of_others(make_endpoint):
    """A further check has its name, its line and its say, like the first ones."""
    endpoint = await make_endpoint(checks={"podsource": lambda: endpoint.healthy})
    assert await endpoint.get("/healthz/podsource") == (200, "ok")
    endpoint.healthy = False
    status, text = await endpoint.get("/healthz?exclude=syncloop")
    assert (status, text.splitlines()[-2:]) == (500, ["[-]podsource failed: reason withheld", "healthz check failed"])
    assert (await endpoint.get("/healthz/podsource"))[0] == 500


async def test_health_endpoint(make_endpoint):
    """The loopback's health port answers everybody, with health only."""
    # port 0 means off, so the port is the test's own choice
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    endpoint = await make_endpoint(settings={"health_port": port})
    async with aiohttp.ClientSession(endpoint.health_url) as http:
        async with http.get("/healthz") as answer:
            assert (answer.status, await answer.text()) == (200, "ok")
        async with http.get("/pods") as answer:
            assert answer.status == 404


async def test_pods(endpoint):
    """The list of what the agent was told, with the statuses that it has."""
    status, text = await endpoint.get("/pods")
    document = json.loads(text)
    assert (status, document["kind"], document["apiVersion"]) == (200, "PodList", "v1")
    (pod,) = document["items"]
    assert pod["metadata"] == endpoint.pods.document["metadata"]
    assert pod["status"]["containerStatuses"][0]["containerID"] == "fake://c1"


@pytest.mark.parametrize("path", ["/runningpods", "/runningpods/"])
async def test_running_pods(endpoint, path):
    """What the runtime says that runs."""
    status, text = await endpoint.get(path)
    assert status == 200
    assert json.loads(text)["items"] == [
        {
            "metadata": {"name": "web", "namespace": "default", "uid": "uid-1"},
            "spec": {"containers": [{"name": "main", "image": "img", "resources": {}}]},
            "status": {},
        }
    ]


async def test_configz(make_endpoint):
    """The configuration in effect, where there is one to show."""
    shown = await make_endpoint(configz=lambda: {"port": 10250})
    status, text = await shown.get("/configz")
    assert (status, json.loads(text)) == (200, {"kubeletconfig": {"port": 10250}})
    hidden = await make_endpoint()
    assert await hidden.get("/configz") == (404, "404: Page Not Found")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/containerLogs/default/web/main"),
        ("POST", "/run/default/web/main?cmd=a"),
        ("GET", "/exec/default/web/main?output=1"),
        ("POST", "/attach/default/web/uid-1/main?output=1"),
        ("POST", "/portForward/default/web"),
        ("GET", "/runningpods/"),
    ],
)
async def test_debugging_handlers_switched_off(make_endpoint, method, path):
    """Without them pods can be listed, not entered."""
    endpoint = await make_endpoint(settings={"debugging_handlers": False})
    assert await endpoint.get(path, method=method) == (405, "Debug endpoints are disabled.")
    assert (await endpoint.get("/pods"))[0] == 200


@pytest.mark.parametrize(
    ("toggle", "method", "path", "text"),
    [
        ("system_logs", "GET", "/logs/", "logs endpoint is disabled."),
        ("system_logs", "GET", "/logs/messages", "logs endpoint is disabled."),
        ("profiling", "GET", "/debug/pprof/heap", "profiling endpoint is disabled."),
        ("debug_flags", "PUT", "/debug/flags/v", "flags endpoint is disabled."),
        ("debugging_handlers", "GET", "/logs/messages", "Debug endpoints are disabled."),
        ("debugging_handlers", "GET", "/debug/pprof/heap", "Debug endpoints are disabled."),
        ("debugging_handlers", "GET", "/debug/pods", "Debug endpoints are disabled."),
    ],
)
async def test_switched_off(make_endpoint, toggle, method, path, text):
    """Each group of handlers has its switch, and its answer."""
    endpoint = await make_endpoint(settings={toggle: False})
    assert await endpoint.get(path, method=method) == (405, text)


async def test_log_folder(make_endpoint, tmp_path):
    """The node's log folder: lists, files, ranges; links count within the folder only, pipes not at all."""
    import os

    folder = tmp_path / "log"
    (folder / "pods").mkdir(parents=True)
    (folder / "messages").write_text("0123456789")
    (folder / "a&b.log").write_text("x")
    (folder / "inside").symlink_to(folder / "messages")
    (folder / "outside").symlink_to(tmp_path / "secret")
    (folder / "up").symlink_to("/")
    os.mkfifo(folder / "pipe")
    (tmp_path / "secret").write_text("secret")
    endpoint = await make_endpoint(settings={"logs_dir": folder})
    status, text = await endpoint.get("/logs/")
    links = '<a href="a%26b.log">a&amp;b.log</a>\n<a href="inside">inside</a>\n<a href="messages">messages</a>\n'
    links += '<a href="outside">outside</a>\n<a href="pipe">pipe</a>\n<a href="pods/">pods/</a>\n<a href="up">up</a>\n'
    assert (status, text) == (200, f"<!doctype html>\n<pre>\n{links}</pre>\n")
    assert await endpoint.get("/logs/messages") == (200, "0123456789")
    assert await endpoint.get("/logs/messages", headers={"Range": "bytes=2-4"}) == (206, "234")
    assert await endpoint.get("/logs/inside") == (200, "0123456789")
    assert await endpoint.get("/logs/pods") == (200, "<!doctype html>\n<pre>\n</pre>\n")
    for path in ("outside", "up/etc/passwd", "pipe", "none", "%2e%2e/secret", "..%2fsecret"):
        assert await endpoint.get(f"/logs/{path}") == (404, "404: Page Not Found"), path


@pytest.mark.parametrize(
    ("wanted", "status", "text", "content_range"),
    [
        ("bytes=0-0", 206, "0", "bytes 0-0/10"),
        ("bytes=7-", 206, "789", "bytes 7-9/10"),
        ("bytes=-4", 206, "6789", "bytes 6-9/10"),
        ("bytes=-400", 206, "0123456789", "bytes 0-9/10"),
        ("bytes=8-99", 206, "89", "bytes 8-9/10"),
        ("bytes=10-", 416, "", "bytes */10"),
        ("bytes=5-2", 416, "", "bytes */10"),
        ("pieces=1-2", 416, "", "bytes */10"),
    ],
)
async def test_parts_of_a_log_file(make_endpoint, tmp_path, wanted, status, text, content_range):
    """Ranges as HTTP has them."""
    (tmp_path / "messages").write_text("0123456789")
    endpoint = await make_endpoint(settings={"logs_dir": tmp_path})
    async with endpoint.http() as http, http.get("/logs/messages", headers={"Range": wanted}) as answer:
        found = (answer.status, await answer.text(), answer.headers["Content-Range"])
    assert found == (status, text, content_range)


async def test_a_log_file_is_sent_from_the_descriptor(make_endpoint, tmp_path, caplog, monkeypatch):
    """The file that was checked and no other, whatever has its name or its descriptor's number by then; nothing is logged; the
    connection goes on; one that shrinks meanwhile is ended, not filled up; HEAD and 304 have no body."""
    import os

    import aiohttp

    from nodeagent.server import sent_file

    path = tmp_path / "messages"
    path.write_text("x" * 1_000_000)
    endpoint = await make_endpoint(settings={"logs_dir": tmp_path})
    pread, descriptors = os.pread, []

    def exchange(fd, size, position):
        path.unlink(missing_ok=True)
        path.write_text("another" * 1000)
        descriptors.append(fd)
        return pread(fd, size, position)

    with monkeypatch.context() as patch:
        patch.setattr(sent_file.os, "pread", exchange)
        async with endpoint.http() as http:
            async with http.get("/logs/messages") as answer:
                assert await answer.text() == "x" * 1_000_000
                changed = answer.headers["Last-Modified"]
            async with http.head("/logs/messages") as answer:
                assert (answer.status, answer.content_length, await answer.text()) == (200, 7000, "")
            async with http.get("/logs/messages", headers={"If-Modified-Since": changed}) as answer:
                assert answer.status in (200, 304)
                await answer.read()  # to its end: what is still being read would change the file that is written next
    assert len(descriptors) >= 4
    path.write_text("y" * 1_000_000)

    def shrink(fd, size, position):
        os.truncate(path, 300_000)
        return pread(fd, size, position)

    with monkeypatch.context() as patch:
        patch.setattr(sent_file.os, "pread", shrink)
        async with endpoint.http() as http, http.get("/logs/messages") as answer:
            with pytest.raises(aiohttp.ClientError):
                await answer.read()
    path.write_text("")
    assert await endpoint.get("/logs/messages") == (200, "")
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_verbosity(endpoint):
    """From 4 on the agent logs everything; what is no number is refused."""
    import logging

    before = logging.getLogger().level
    try:
        answer = await endpoint.get("/debug/flags/v", method="PUT", data="5")
        assert answer == (200, "successfully set klog.logging.verbosity to 5")
        assert logging.getLogger().level == logging.DEBUG
        await endpoint.get("/debug/flags/v", method="PUT", data="2")
        assert logging.getLogger().level == logging.INFO
        assert (await endpoint.get("/debug/flags/v", method="PUT", data="loud"))[0] == 400
    finally:
        logging.getLogger().setLevel(before)


async def test_read_only_port(make_endpoint):
    """Plain HTTP for everybody: what shows is there, what enters a pod is refused, the configuration is not told."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    await make_endpoint(reviews=object(), settings={"read_only_port": port}, configz=dict)
    found = {}
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
        for path in ("/healthz", "/pods", "/configz", "/logs/", "/runningpods/", "/containerLogs/default/web/main"):
            async with http.get(path) as answer:
                found[path] = (answer.status, (await answer.text())[:27])
        async with http.post("/exec/default/web/main?output=1") as answer:
            found["/exec"] = (answer.status, await answer.text())
    refused = (405, "Debug endpoints are disabled.")
    assert found == {
        "/healthz": (200, "ok"),
        "/pods": (200, '{"kind":"PodList","apiVersi'),
        "/configz": (404, "404: Page Not Found"),
        "/logs/": (405, refused[1][:27]),
        "/runningpods/": (405, refused[1][:27]),
        "/containerLogs/default/web/main": (405, refused[1][:27]),
        "/exec": refused,
    }
