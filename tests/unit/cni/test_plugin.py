"""One run of one plugin: what it gets, and what its answer means."""

import asyncio
import json
from pathlib import Path

import pytest

from cni.errors import (
    BadOutput,
    CNIError,
    ConfigRefused,
    InvalidArgument,
    InvalidConfig,
    NotAttached,
    NotSupported,
    PluginError,
    PluginFailed,
    PluginNotFound,
    PluginTimeout,
    RequestRefused,
    Unavailable,
    UnknownContainer,
    VersionRefused,
)
from cni.plugin import Call, invoke

from .conftest import Plugins

ERROR = {"cniVersion": "1.0.0", "code": 11, "msg": "busy", "details": "try later"}


def plugin(folder: Path, body: str, name: str = "demo") -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o755)


def call(command: str = "ADD", timeout_seconds: float = 60.0) -> Call:
    return Call(
        command=command, environment={"CNI_CONTAINERID": "c1"}, config={"name": "net"}, timeout_seconds=timeout_seconds
    )


@pytest.mark.parametrize(
    ("body", "text", "code"),
    [
        (f"echo '{json.dumps(ERROR)}'; echo noise >&2; exit 1", "busy; try later", 11),
        ('echo \'{"msg": "no code"}\'; exit 1', "no code", 0),
        ('echo \'{"code": "x", "msg": 5}\'; exit 1', "5", 0),
        ("echo on stderr >&2; exit 3", "netplugin failed: on stderr", 0),
        ("exit 3", "netplugin failed with no error message: exit status 3", 0),
        ("kill -9 $$", "netplugin failed with no error message: killed by signal SIGKILL", 0),
        (
            "echo rubbish; echo more >&2; exit 1",
            "netplugin failed but error parsing its diagnostic message 'rubbish'",
            0,
        ),
        ("echo '[]'; exit 1", "netplugin failed but error parsing its diagnostic message '[]'", 0),
        ("echo rubbish", "the plugin printed something that is not JSON: 'rubbish'", 0),
    ],
)
async def test_what_a_failure_says(tmp_path: Path, body: str, text: str, code: int) -> None:
    """An error object on stdout, else stderr, else the exit status; always with the plugin's name and the command."""
    plugin(tmp_path, body)
    with pytest.raises(PluginError) as caught:
        await invoke("demo", [tmp_path], call())
    assert str(caught.value) == f'plugin type="demo" failed (add): {text}'
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        *((f'echo \'{{"code": {code}, "msg": "no"}}\'; exit 1', Unavailable) for code in (11, 50, 51)),
        *((f'echo \'{{"code": {code}, "msg": "no"}}\'; exit 1', PluginFailed) for code in (5, 6, 100, 999)),
        ("exit 3", PluginFailed),
        ("echo rubbish; exit 1", BadOutput),
        ("echo rubbish", BadOutput),
    ],
)
async def test_the_class_says_whether_to_try_again(tmp_path: Path, body: str, kind: type[PluginError]) -> None:
    """Codes 11, 50 and 51 are Unavailable; the rest is the plugin's failure, or no CNI at all."""
    plugin(tmp_path, body)
    with pytest.raises(PluginError) as caught:
        await invoke("demo", [tmp_path], call())
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("code", "meaning", "kind"),
    [
        (1, NotSupported, VersionRefused),
        (2, InvalidConfig, ConfigRefused),
        (3, NotAttached, UnknownContainer),
        (4, InvalidArgument, RequestRefused),
        (7, InvalidConfig, ConfigRefused),
        (8, InvalidArgument, RequestRefused),
    ],
)
async def test_the_class_says_who_may_mend_it(
    tmp_path: Path, code: int, meaning: type[CNIError], kind: type[PluginError]
) -> None:
    """What a plugin refuses is the same to a caller as what this library refuses itself, and says which plugin it was."""
    plugin(tmp_path, f'echo \'{{"code": {code}, "msg": "no", "details": "because"}}\'; exit 1')
    with pytest.raises(meaning) as caught:
        await invoke("demo", [tmp_path], call())
    assert type(caught.value) is kind
    assert (str(caught.value), caught.value.code) == ('plugin type="demo" failed (add): no; because', code)


@pytest.mark.parametrize(
    ("command", "body", "answer"),
    [
        ("ADD", "echo '{\"a\": 1}'; echo noise >&2", {"a": 1}),
        ("ADD", ":", None),
        ("VERSION", "echo '{}'", {}),
        ("DEL", "echo rubbish", None),
        ("CHECK", "echo rubbish", None),
        ("GC", "echo '{}'", None),
    ],
)
async def test_answers(tmp_path: Path, command: str, body: str, answer: object) -> None:
    """Only ADD and VERSION answer: what a plugin prints otherwise does not count."""
    plugin(tmp_path, body)
    assert await invoke("demo", [tmp_path], call(command)) == answer


async def test_what_a_plugin_gets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The configuration on stdin; our environment with the parameters of this call and of no other."""
    monkeypatch.setenv("CNI_ARGS", "of=another")
    monkeypatch.setenv("CNI_NETNS_OVERRIDE", "1")
    plugin(tmp_path, f"cat > {tmp_path}/stdin; env | grep ^CNI_ | sort > {tmp_path}/env; echo '{{}}'")
    folders = [tmp_path / "missing", tmp_path]
    await invoke("demo", folders, call())
    assert json.loads((tmp_path / "stdin").read_text()) == {"name": "net"}
    assert (tmp_path / "env").read_text().splitlines() == [
        "CNI_COMMAND=ADD",
        "CNI_CONTAINERID=c1",
        "CNI_NETNS_OVERRIDE=1",
        f"CNI_PATH={tmp_path}/missing:{tmp_path}",
    ]


async def test_lookup(tmp_path: Path) -> None:
    """The first regular file of the name in the folders' order; none is an error that lists them."""
    first, second = tmp_path / "1", tmp_path / "2"
    (first / "demo").mkdir(parents=True)
    plugin(second, "echo '\"second\"'")
    assert await invoke("demo", [first, second], call()) == "second"
    with pytest.raises(PluginNotFound) as caught:
        await invoke("other", [first, second], call())
    assert f'failed to find plugin "other" in path [{first}:{second}]' in str(caught.value)
    (second / "demo").chmod(0o644)
    with pytest.raises(PluginError):
        await invoke("demo", [second], call())
    (second / "demo").write_bytes(b"not a program")
    (second / "demo").chmod(0o755)
    with pytest.raises(PluginError, match="cannot run"):
        await invoke("demo", [second], call())


async def test_a_plugin_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    """At the deadline the whole process group goes; what the plugin had said by then is in the error."""
    pipe = tmp_path / "alive"
    pipe.touch()
    plugin(tmp_path, f"echo waiting >&2; (exec 9<{pipe}; sleep 1000) & sleep 1000")
    with pytest.raises(PluginTimeout) as caught:
        await invoke("demo", [tmp_path], call(timeout_seconds=0.5))
    assert str(caught.value) == 'plugin type="demo" failed (add): no answer within 0.5s, killed; waiting'
    assert holders(pipe) == []


async def test_a_cancelled_call_kills_the_plugin(tmp_path: Path, plugins: Plugins) -> None:
    """Cancelling is killing."""
    held = tmp_path / "alive"
    held.touch()
    plugin(tmp_path, f"exec 9<{held}; echo up > {plugins.started.path}; sleep 1000")
    task = asyncio.create_task(invoke("demo", [tmp_path], call()))
    await plugins.started.read()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert holders(held) == []


def holders(path: Path) -> list[str]:
    """Processes that have the file open."""
    found = []
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if link.readlink() == path:
                found.append(str(link))
        except OSError:
            continue
    return found
