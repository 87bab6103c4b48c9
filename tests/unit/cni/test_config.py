"""Which file is the node's network, and what it means."""

import json
from pathlib import Path
from typing import Any

import pytest

from cni import config
from cni.errors import InvalidConfig, NoNetwork

BRIDGE = {"type": "bridge"}


def write(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))


def conflist(name: str = "net", **fields: Any) -> dict[str, Any]:
    return {"cniVersion": "1.0.0", "name": name, "plugins": [BRIDGE], **fields}


@pytest.mark.parametrize(
    ("files", "chosen"),
    [
        ({"10-a.conflist": conflist("a"), "20-b.conflist": conflist("b")}, "a"),
        ({"10-a.conf": {"cniVersion": "0.4.0", "name": "single", "type": "bridge"}, "20-b.conflist": conflist("b")}, "single"),
        ({"10-a.conflist": "{", "20-b.json": conflist("b")}, "b"),
        ({"10-a.conflist": conflist(plugins=[]), "20-b.conflist": conflist("b")}, "b"),
        ({"00-readme.txt": "x", "05-a.conflist.bak": conflist("bak"), "10-a.conflist": conflist("a")}, "a"),
        ({"1.conflist/x": "a folder", "2.conflist": conflist("b")}, "b"),
    ],
)  # fmt: skip
def test_the_first_usable_file_is_the_network(tmp_path: Path, files: dict[str, Any], chosen: str) -> None:
    """Files count in lexical order by their extension; broken ones are passed over."""
    for name, document in files.items():
        write(tmp_path / name, document)
    assert config.load_default(tmp_path).name == chosen


def test_no_network_tells_why(tmp_path: Path) -> None:
    """Without a file the words are the known ones; with broken files each is named with its mistake."""
    text = f"no CNI configuration file in {tmp_path}. Has your network provider started?"
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(NoNetwork) as caught:
            config.load_default(folder)
        assert str(caught.value) == text.replace(str(tmp_path), str(folder))
    write(tmp_path / "1.conflist", "{")
    write(tmp_path / "2.conflist", conflist(name=""))
    with pytest.raises(NoNetwork) as caught:
        config.load_default(tmp_path)
    for part in (f"{tmp_path}/1.conflist: not JSON", f"{tmp_path}/2.conflist: name: '' is not a network name"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("[]", "not a JSON object"),
        ("nonsense", "not JSON"),
        ("[" * 100_000, "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (conflist(name="../x"), "name: '../x' is not a network name"),
        (conflist(name=5), "name: 5 is not a network name"),
        (conflist(plugins={}), "plugins: not a list"),
        (conflist(plugins=[{}]), "plugins[0]: type: missing"),
        (conflist(plugins=["bridge"]), "plugins[0]: type: missing"),
        (conflist(plugins=[BRIDGE, {"type": "../sh"}]), "plugins[1]: type: '../sh' contains a path separator"),
        (conflist(plugins=[{"type": "x", "capabilities": ["a"]}]), "plugins[0]: capabilities: not an object"),
        ({"cniVersion": "1.0.0", "name": "net"}, "plugins: no plugin"),
        (conflist(loadOnlyInlinedPlugins=True, plugins=[]), "plugins: no plugin"),
        (conflist(cniVersion="2.0.0"), "cniVersion: '2.0.0' is not supported"),
        (conflist(cniVersion=1), "cniVersion: 1 is not supported"),
        (conflist(cniVersions="1.0.0"), "cniVersions: not a list"),
        (conflist(disableCheck="maybe"), "disableCheck: 'maybe' is neither true nor false"),
        (conflist(disableGC=1), "disableGC: 1 is neither true nor false"),
    ],
)
def test_broken_files_are_refused_with_file_and_field(tmp_path: Path, document: Any, message: str) -> None:
    """A mistake is InvalidConfig and names its place."""
    path = tmp_path / "1.conflist"
    if isinstance(document, bytes):
        path.write_bytes(document)
    else:
        write(path, document)
    with pytest.raises(InvalidConfig) as caught:
        config.load(path)
    assert str(caught.value).startswith(f"{path}: {message}")


@pytest.mark.parametrize(
    ("fields", "version"),
    [
        ({}, "0.1.0"),
        ({"cniVersion": ""}, "0.1.0"),
        ({"cniVersion": "0.3.1"}, "0.3.1"),
        ({"cniVersion": "0.4.0", "cniVersions": ["0.3.1", "1.1.0", "9.0.0"]}, "1.1.0"),
        ({"cniVersion": "9.0.0", "cniVersions": ["1.0.0"]}, "1.0.0"),
        ({"cniVersions": ["0.2.0", 7]}, "0.2.0"),
    ],
)
def test_the_highest_known_version_is_taken(fields: dict[str, Any], version: str) -> None:
    """Of cniVersion and cniVersions the highest that is known; none at all is 0.1.0."""
    found = config.parse(json.dumps({"name": "net", "plugins": [BRIDGE], **fields}).encode())
    assert found.cni_version == version


@pytest.mark.parametrize(
    ("version", "first", "expected"), [("0.4.0", "0.4.0", True), ("0.3.1", "0.4.0", False), ("1.1.0", "1.0.0", True)]
)
def test_supports(version: str, first: str, expected: bool) -> None:
    """A configuration has what came with its version or before."""
    assert config.parse(json.dumps(conflist(cniVersion=version)).encode()).supports(first) is expected


@pytest.mark.parametrize(("value", "expected"), [(True, True), ("true", True), (False, False), ("false", False)])
def test_flags_may_be_words(value: Any, expected: bool) -> None:
    """disableCheck and disableGC may be JSON strings."""
    found = config.parse(json.dumps(conflist(disableCheck=value, disableGC=value)).encode())
    assert (found.disable_check, found.disable_gc) == (expected, expected)


def test_plugins_of_the_networks_folder_are_appended(tmp_path: Path) -> None:
    """`<conf dir>/<name>/*.conf` follow the inlined plugins, and the recorded source holds all of them."""
    write(tmp_path / "1.conflist", conflist(plugins=[BRIDGE]))
    write(tmp_path / "net/20-b.conf", {"type": "tuning", "mtu": 9000})
    write(tmp_path / "net/10-a.conf", {"type": "portmap"})
    write(tmp_path / "net/30-c.json", {"type": "not-this-extension"})
    found = config.load(tmp_path / "1.conflist")
    assert [plugin.type for plugin in found.plugins] == ["bridge", "portmap", "tuning"]
    again = config.parse(found.source)
    assert again.plugins == found.plugins
    write(tmp_path / "net/20-b.conf", "{")
    with pytest.raises(InvalidConfig, match=r"20-b\.conf: not JSON"):
        config.load(tmp_path / "1.conflist")


def test_a_network_may_live_in_its_folder_only(tmp_path: Path) -> None:
    """A list without `plugins` takes all of them from the folder."""
    write(tmp_path / "1.conflist", {"cniVersion": "1.0.0", "name": "net"})
    write(tmp_path / "net/10-a.conf", {"type": "portmap"})
    assert [plugin.type for plugin in config.load(tmp_path / "1.conflist").plugins] == ["portmap"]


def test_only_inlined_plugins_on_request(tmp_path: Path) -> None:
    """loadOnlyInlinedPlugins leaves the folder alone."""
    write(tmp_path / "1.conflist", conflist(loadOnlyInlinedPlugins=True))
    write(tmp_path / "net/10-a.conf", {"type": "portmap"})
    assert [plugin.type for plugin in config.load(tmp_path / "1.conflist").plugins] == ["bridge"]


def test_unknown_keys_are_kept() -> None:
    """A plugin's object goes through as it is; only capabilities that are true count."""
    raw = {"type": "x", "capabilities": {"a": True, "b": False, "c": "true"}, "weird": [1]}
    plugin = config.parse(json.dumps(conflist(plugins=[raw])).encode()).plugins[0]
    assert plugin.raw == raw
    assert plugin.capabilities == {"a"}
