"""How the agent logs."""

import asyncio
import contextlib
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from configured import config

from nodeagent import logs
from nodeagent.config.loader import replace_options
from nodeagent.logs import LogSettings

POD = logs.PodField(namespace="ns", name="web", uid="uid-1")
MODULES = [{"filePattern": "super*", "verbosity": 4}, {"filePattern": "informer", "verbosity": 3}]


@pytest.mark.parametrize(
    ("fields", "options", "expected"),
    [
        ({}, {}, LogSettings(level="info", form="text")),
        ({"format": "json", "verbosity": 3}, {}, LogSettings(level="info", form="json")),
        ({"format": "json", "verbosity": 4}, {}, LogSettings(level="debug", form="json")),
        (
            {"format": "json", "verbosity": 9},
            {"log_level": "error", "log_format": "text"},
            LogSettings(level="error", form="text"),
        ),
        ({"vmodule": MODULES}, {}, LogSettings(level="info", form="text", detailed=("super*",))),
    ],
)
def test_logging(tmp_path: Path, fields: dict[str, Any], options: dict[str, str], expected: LogSettings) -> None:
    """The file's format and verbosity count where the command line says nothing; a module tells all from 4 on."""
    assert logs.settings_of(replace_options(config(tmp_path, logging=fields), **options)) == expected


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("supervisor", True),
        ("super*", True),
        ("pods/*", True),
        ("pods/supervisor", True),
        ("pods", False),
        ("visor", False),
        ("steps/supervisor", False),
    ],
)
def test_patterns_of_modules(pattern: str, meant: bool) -> None:
    """A file's name without its folder, or with as much of the folders as is given; globs in both."""
    assert logs.is_meant("nodeagent.pods.supervisor", (pattern,)) is meant


@pytest.fixture
def restored() -> Iterator[None]:
    """Logging as it was before."""
    root, kind = logging.getLogger(), logging.getLoggerClass()
    level, handlers = root.level, root.handlers[:]
    yield
    root.setLevel(level)
    root.handlers[:] = handlers
    logging.setLoggerClass(kind)


def test_a_module_that_tells_all(restored: None) -> None:
    """Those that are known and those that come later; the others stay at their level."""
    known = logging.getLogger("test_logs.known.chatty")
    logs.configure(LogSettings(level="info", form="text", detailed=("chatty",)))
    later, other = logging.getLogger("test_logs.later.chatty"), logging.getLogger("test_logs.other")
    enabled = [logger.isEnabledFor(logging.DEBUG) for logger in (known, later, other)]
    known.setLevel(logging.NOTSET)
    assert enabled == [True, True, False]


def line(formatter: logging.Formatter, level: int, text: str, *arguments: Any, error: Any = None) -> str:
    exception = (type(error), error, None) if error is not None else None
    record = logging.LogRecord("nodeagent.a.b", level, "/x/nodeagent/a/b.py", 7, text, arguments, exception)
    record.created = 0.0
    return formatter.format(record)


async def test_pod_and_step_are_fields_of_what_their_work_logs() -> None:
    """Also of what tasks of that work log, and of nobody else's; JSON has klog's names, and errors no verbosity."""
    made = logs.JSONFormatter()

    async def work() -> tuple[Any, Any]:
        logs.POD.set(POD)
        logs.STEP.set("volumes")
        inner = await asyncio.create_task(later(logging.WARNING))
        return json.loads(line(made, logging.DEBUG, "mounted %d", 2)), inner

    async def later(level: int) -> Any:
        return json.loads(line(made, level, "no", error=ValueError("disk")))

    (mine, inner), foreign = await asyncio.gather(work(), later(logging.INFO))
    fields = {"pod": {"name": "web", "namespace": "ns"}, "podUID": "uid-1", "step": "volumes"}
    said = {"logger": "nodeagent.a.b", "caller": "a/b.py:7"}
    times = [each.pop("ts") for each in (mine, inner, foreign)]
    assert all(time.startswith("1970-01-01T") for time in times)
    assert mine == said | fields | {"level": "debug", "v": 4, "msg": "mounted 2"}
    assert inner == said | fields | {"level": "warning", "msg": "no", "err": "ValueError: disk"}
    assert foreign == said | {"level": "info", "v": 0, "msg": "no", "err": "ValueError: disk"}


async def test_text_names_the_pod_once() -> None:
    """At the end of the line, unless the message does."""
    made = logs.TextFormatter()

    async def work() -> list[str]:
        logs.POD.set(POD)
        logs.STEP.set("volumes")
        return [line(made, logging.INFO, text) for text in ("mounted", "pod web_ns(uid-1) mounted")]

    bare, named = await asyncio.create_task(work())
    assert bare.endswith('INFO    nodeagent.a.b: mounted pod="ns/web" podUID="uid-1" step="volumes"')
    assert named.endswith("INFO    nodeagent.a.b: pod web_ns(uid-1) mounted")
    assert line(made, logging.INFO, "mounted").endswith("nodeagent.a.b: mounted")


def test_a_full_disk_costs_lines_only(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that cannot be written is lost, without a word where nothing can be written; a mistake of ours is still told."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    with contextlib.suppress(OSError), open("/dev/full", "w", buffering=1) as full:
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stderr", full)
            logs.configure(LogSettings(level="info", form="text"))
        logging.getLogger("x").info("no room")
        assert capsys.readouterr().err == ""
        logging.getLogger("x").info("%d", "no number")
        assert "Logging error" in capsys.readouterr().err
