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
