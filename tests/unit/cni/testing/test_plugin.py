"""Options that name a network to test, and what is told of those that do not."""

import json
from pathlib import Path
from typing import Any

import pytest

from cni.testing.plugin import implementation_of

NETWORK = {"cniVersion": "1.0.0", "name": "mine", "plugins": [{"type": "bridge"}]}


class Options:
    """The part of pytest's configuration that is looked at."""

    def __init__(self, **given: Any) -> None:
        self._given = {
            "conf": None,
            "conf_dir": None,
            "plugin": None,
            "bin_dir": [],
            "exceptions": None,
            "known_flaws": [],
            **given,
        }

    def getoption(self, name: str) -> Any:
        return self._given[name.removeprefix("cni_")]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "10-mine.conflist").write_text(json.dumps(NETWORK))
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "exceptions.toml").write_text('K9 = "not yet"\n')
    (tmp_path / "none.toml").write_text('"a bug" = "why"\n')
    return tmp_path


def of(**given: Any) -> Any:
    return implementation_of(Options(**given))  # type: ignore[arg-type]  # what is not there is not used


@pytest.mark.parametrize("options", [{"conf": "10-mine.conflist"}, {"conf_dir": "."}])
def test_a_network_is_named(files: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, str]) -> None:
    """By a file, or as a node finds it; with what it does without, and the flaws of a release."""
    monkeypatch.chdir(files)
    more = {"exceptions": "exceptions.toml", "known_flaws": ["containernetworking-1.1.1"]}
    found = of(**options, bin_dir=["bin", "/usr/lib/cni"], **more)
    assert (found.name, found.document, found.exceptions) == ("mine", NETWORK, {"K9": "not yet"})
    assert found.bin_dirs == (files / "bin", Path("/usr/lib/cni"))
    assert {flaw.plugin for flaw in found.known_flaws} == {"bridge"}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "--cni-conf FILE or --cni-conf-dir FOLDER or --cni-plugin NAME"),
        ({"conf": "10-mine.conflist"}, "--cni-conf FILE or --cni-conf-dir FOLDER or --cni-plugin NAME"),
        ({"conf": "10-mine.conflist", "conf_dir": ".", "bin_dir": ["b"]}, "--cni-conf FILE or"),
        ({"conf": "missing", "bin_dir": ["b"]}, "missing: No such file"),
        ({"conf": "broken.json", "bin_dir": ["b"]}, "broken.json: not JSON"),
        ({"conf_dir": "nowhere", "bin_dir": ["b"]}, "no CNI configuration file in nowhere"),
        ({"conf": "10-mine.conflist", "bin_dir": ["b"], "exceptions": "none.toml"}, "a bug: not the id of a check"),
        ({"conf": "10-mine.conflist", "bin_dir": ["b"], "exceptions": "broken.json"}, "the network to test: "),
        ({"conf": "10-mine.conflist", "bin_dir": ["b"], "known_flaws": ["x"]}, "x is none of containernetworking"),
    ],
)
def test_what_is_no_network(files: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], told: str) -> None:
    """Told in one line, for a usage error."""
    monkeypatch.chdir(files)
    with pytest.raises(pytest.UsageError) as caught:
        of(**options)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
