"""Queries of the node's logs: what is asked for, what is refused and how, and the log that comes."""

import gzip
from datetime import UTC, datetime

import aiohttp
import pytest
from multidict import MultiDict
from yarl import URL

from nodeagent.server import server as server_module
from nodeagent.server.journal import Journal, arguments
from nodeagent.server.node_log_query import BadQuery, LogFilter, NodeLogQuery, node_log_query

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def parsed(text):
    return node_log_query(MultiDict(URL(f"/?{text}").query), NOW)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("other=1", None),
        ("query=kubelet", NodeLogQuery(services=("kubelet",))),
        ("query=a@1.service&query=b_c:d-e", NodeLogQuery(services=("a@1.service", "b_c:d-e"))),
        ("query=kubelet&query=%20", NodeLogQuery(services=("kubelet",))),
        ("query=/syslog", NodeLogQuery(file="syslog")),
        ("query=pods%5Cx.log", NodeLogQuery(file="pods/x.log")),
        (
            "query=a&sinceTime=2026-01-02T03:00:00Z&untilTime=2026-01-02T05:03:00%2B02:00&tailLines=0&boot=-1&pattern=a.*b",
            NodeLogQuery(
                services=("a",),
                filter=LogFilter(
                    since=datetime(2026, 1, 2, 3, tzinfo=UTC),
                    until=datetime(2026, 1, 2, 3, 3, tzinfo=UTC),
                    tail_lines=0,
                    boot=-1,
                    pattern="a.*b",
                ),
            ),
        ),
        (
            "query=a&boot=0&tailLines=100000",
            NodeLogQuery(services=("a",), filter=LogFilter(boot=0, tail_lines=100_000)),
        ),
    ],
)
def test_what_is_asked_for(text, expected):
    """Services by name, a file by a name with a slash, and which lines."""
    assert parsed(text) == expected


@pytest.mark.parametrize(
    ("text", "status", "words"),
    [
        ("query=", 400, 'query: Invalid value: [""]: query cannot be empty'),
        ("query=%20", 400, 'query: Invalid value: [" "]: query cannot be empty'),
        ("query=a&sinceTime=yesterday", 400, 'sinceTime: Invalid value: "yesterday": invalid time format'),
        ("query=a&sinceTime=2026-01-02", 400, 'sinceTime: Invalid value: "2026-01-02": invalid time format'),
        (
            "query=a&untilTime=2026-13-02T00:00:00Z",
            400,
            'untilTime: Invalid value: "2026-13-02T00:00:00Z": invalid time format',
        ),
        ("query=a&boot=x", 400, 'boot: Invalid value: "x": strconv.Atoi: parsing "x": invalid syntax'),
        (
            "query=a&boot=x&tailLines=1.5",
            400,
            '[boot: Invalid value: "x": strconv.Atoi: parsing "x": invalid syntax, '
            'tailLines: Invalid value: "1.5": strconv.Atoi: parsing "1.5": invalid syntax]',
        ),
        ("tailLines=1", 406, "query: Required value: cannot be empty with options"),
        ("query=a&query=/b", 406, 'query: Invalid value: "[/b], [a]": cannot specify a file and service'),
        ("query=/a&query=/b", 406, 'query: Invalid value: ["/a","/b"]: cannot specify more than one file'),
        ("query=/a&tailLines=1", 406, 'query: Invalid value: ["/a"]: cannot specify file with options'),
        ("query=a%3Bb", 406, 'query: Invalid value: "a;b": input contains unsupported characters'),
        ("query=a%0Ab", 406, 'query: Invalid value: "a\\nb": input contains unsupported characters'),
        (f"query={'a' * 257}", 406, f'query: Invalid value: "{"a" * 257}": length must be at most 256'),
        ("query=a&query=b&query=c&query=d&query=e", 406, "query: Too many: 5: must have at most 4 items"),
        (
            "query=a&sinceTime=2026-01-02T03:04:06Z",
            406,
            'sinceTime: Invalid value: "2026-01-02T03:04:06Z": must not be in the future',
        ),
        (
            "query=a&sinceTime=2026-01-02T03:00:00Z&untilTime=2026-01-02T02:00:00Z",
            406,
            'untilTime: Invalid value: "2026-01-02T02:00:00Z": must be after `sinceTime`',
        ),
        ("query=a&boot=1", 406, "boot: Invalid value: 1: must be less than 1"),
        ("query=a&tailLines=-1", 406, "tailLines: Invalid value: -1: must be between 0 and 100000, inclusive"),
        ("query=a&tailLines=100001", 406, "tailLines: Invalid value: 100001: must be between 0 and 100000, inclusive"),
        ("query=a&pattern=(", 406, 'pattern: Invalid value: "(": missing ), unterminated subpattern at position 0'),
        (f"query=a&pattern={'x' * 4097}", 406, f'pattern: Invalid value: "{"x" * 20}": length must be at most 4096'),
    ],
)
def test_what_is_refused(text, status, words):
    """400 for what cannot be read, 406 for what cannot be; every mistake is told."""
    with pytest.raises(BadQuery) as caught:
        parsed(text)
    assert (caught.value.status, str(caught.value)) == (status, words)


def test_arguments_of_the_journal():
    """Each value is part of an option's word, whatever it looks like."""
    wanted = LogFilter(since=NOW, until=NOW, tail_lines=5, boot=-1, pattern="--file=/etc/shadow")
    assert arguments(["a", "-b"], wanted) == [
        *("--utc", "--no-pager", "--output=short-precise", "--since=2026-01-02 03:04:05 UTC"),
        *("--until=2026-01-02 03:04:05 UTC", "--lines=5", "--unit=a", "--unit=-b"),
        *("--grep=--file=/etc/shadow", "--case-sensitive=false", "--boot=-1"),
    ]


JOURNALCTL = """#!/bin/sh
case "$*" in
*--field*) echo kubelet.service ;;
*) echo "journal: $*"; echo complaint >&2; exit 1 ;;
esac
"""


@pytest.fixture
async def node(make_endpoint, tmp_path, monkeypatch):
    """An endpoint whose log folder has files, and whose journal has lines of kubelet.service."""
    program = tmp_path / "journalctl"
    program.write_text(JOURNALCTL)
    program.chmod(0o755)
    monkeypatch.setattr(server_module, "Journal", lambda: Journal([str(program)]))
    folder = tmp_path / "log"
    (folder / "proxy").mkdir(parents=True)
    (folder / "proxy" / "proxy.log").write_text("proxied\n")
    (folder / "syslog").write_text("said\n")
    (tmp_path / "secret.log").write_text("secret")
    (folder / "link.log").symlink_to(tmp_path / "secret.log")
    return await make_endpoint(settings={"logs_dir": folder, "log_query": True})


JOURNALED = "journal: --utc --no-pager --output=short-precise{}\ncomplaint\n"


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/logs/?query=kubelet", (200, JOURNALED.format(" --unit=kubelet"))),
        ("/logs?query=kubelet&tailLines=2", (200, JOURNALED.format(" --lines=2 --unit=kubelet"))),
        ("/logs/?query=kubelet.service", (200, JOURNALED.format(" --unit=kubelet.service"))),
        ("/logs/?query=proxy", (200, "proxied\n")),
        ("/logs/?query=syslog&query=kubelet", (200, JOURNALED.format(" --unit=kubelet") + "said\n")),
        ("/logs/?query=none", (200, "\nlog not found for none\n")),
        ("/logs/?query=link", (200, "\nlog not found for link\n")),
        ("/logs/?query=..", (200, "\nlog not found for ..\n")),
        (
            "/logs/?query=proxy&query=syslog&tailLines=1",
            (
                200,
                "\noptions present and query resolved to log files for [proxy syslog]\ntry without specifying options\n",
            ),
        ),
        ("/logs/?query=/proxy/proxy.log", (200, "proxied\n")),
        ("/logs/?query=/../secret.log", (404, "404: Page Not Found")),
        ("/logs/syslog", (200, "said\n")),
        ("/logs/syslog?query=kubelet", (406, "path not allowed in query mode\n")),
        (
            "/logs/?boot=1",
            (
                406,
                "[query: Required value: cannot be empty with options, boot: Invalid value: 1: must be less than 1]\n",
            ),
        ),
        ("/logs/?query=", (400, 'query: Invalid value: [""]: query cannot be empty\n')),
    ],
)
async def test_answers(node, path, answer):
    """The journal for whom it knows, files of the log folder for the others, and no way out of that folder."""
    assert await node.get(path) == answer


async def test_packed(node):
    """gzip for who accepts that and nothing else."""
    connector = aiohttp.TCPConnector(ssl=node.tls(), force_close=True)
    async with aiohttp.ClientSession(node.url, connector=connector, auto_decompress=False) as http:
        async with http.get("/logs/?query=syslog", headers={"Accept-Encoding": "gzip"}) as answer:
            assert answer.headers["Content-Type"] == "text/plain;charset=UTF-8"
            assert gzip.decompress(await answer.read()) == b"said\n"
        async with http.get("/logs/?query=syslog", headers={"Accept-Encoding": "gzip, deflate"}) as answer:
            assert await answer.read() == b"said\n"


async def test_without_a_journal(make_endpoint, tmp_path, monkeypatch):
    """A node that has no journalctl has files; a query is no query where it is not switched on."""
    (tmp_path / "syslog").write_text("said\n")
    monkeypatch.setattr(server_module, "Journal", lambda: Journal([str(tmp_path / "none")]))
    endpoint = await make_endpoint(settings={"logs_dir": tmp_path, "log_query": True})
    assert await endpoint.get("/logs/?query=syslog") == (200, "said\n")
    plain = await make_endpoint(settings={"logs_dir": tmp_path})
    assert (await plain.get("/logs/?query="))[0] == 200
