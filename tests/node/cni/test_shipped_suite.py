"""The checks as others have them: out of a wheel, without a checkout; they find what is wrong, and tell what is known."""

import json
import os
import re
from pathlib import Path

import pytest
from components import needs
from shipped import installed, outcomes, run

from .conftest import PLUGINS, PORTMAP

pytestmark = [
    pytest.mark.node,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    needs(str(PLUGINS / "bridge"), "iptables-save"),
]

IPAM = {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}
BRIDGE = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": True, "ipam": IPAM}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(tmp_path_factory)


def configured(folder: Path) -> tuple[str, ...]:
    """Options that name a network of Debian's plugins, after those of the folder's own."""
    (folder / "bin").mkdir()
    (folder / "net.d").mkdir()
    document = {"cniVersion": "1.0.0", "name": "shipped", "plugins": [BRIDGE, PORTMAP]}
    (folder / "net.d" / "10-shipped.conflist").write_text(json.dumps(document))
    return ("--pyargs", "cni.testing", "--cni-conf-dir", "net.d", "--cni-bin-dir", "bin", "--cni-bin-dir", str(PLUGINS))


def test_options_alone(site: Path, tmp_path: Path) -> None:
    """A folder of configurations, one of plugins, what is not claimed and what is known: no file of tests. Reports have ids."""
    (tmp_path / "exceptions.toml").write_text('D3 = "let us say"\n')
    options = ("--cni-exceptions", "exceptions.toml", "--cni-known-flaws", "containernetworking-1.1.1")
    chosen = "d1_ or d3_ or d9_ or s1_ or v1_"
    done = run(site, tmp_path, *configured(tmp_path), *options, "-k", chosen, "-rsx", "--junitxml", "report.xml")
    found = outcomes(done)
    assert (found["passed"], found["skipped"], found["xfailed"]) == (3, 2, 1)
    assert "excepted: let us say" in done.stdout
    assert "not claimed: version 1.0.0 has no STATUS" in done.stdout
    assert "known flaw of bridge: DEL finds the rules of ipMasq" in done.stdout
    report = (tmp_path / "report.xml").read_text()
    assert set(re.findall(r'name="id" value="(\w+)"', report)) == {"D1", "D3", "D9", "S1", "V1"}


MISTAKES = {
    "nothing": "exec {bridge}",
    "forgets to delete": '[ "$CNI_COMMAND" = DEL ] || exec {bridge}',
    "lets any CHECK pass": '[ "$CNI_COMMAND" = CHECK ] || exec {bridge}',
    "gives no address": """[ "$CNI_COMMAND" = CHECK ] || sed 's/"ipam"/"other"/' | {bridge}""",
    "tells another address": "{bridge} | sed 's#10.88.0.2/24#10.88.0.77/24#'",
}
FOUND_BY = {
    "nothing": set(),
    "forgets to delete": {"a2", "d1", "k5"},
    "lets any CHECK pass": {"k5"},
    "gives no address": {"k5"},
    "tells another address": {"a2", "k5"},
}
TEST_FILE = """
from pathlib import Path
import pytest
from cni.testing.implementation import Implementation
from cni.testing.suite import *

@pytest.fixture(params=sorted(Path("bin").iterdir()), ids=lambda path: path.name)
def network_implementation(request):
    document = {**BRIDGE, "cniVersion": "1.0.0", "name": "mine", "ipMasq": False}
    folders = (request.param.resolve(), Path("PLUGINS"))
    return Implementation(name=request.param.name, document=document, bin_dirs=folders)
"""


def test_a_test_file_of_a_package(site: Path, tmp_path: Path) -> None:
    """The few lines of an author, here for several plugins: a mistake is found by the checks that are about it, by no other."""
    for name, body in MISTAKES.items():
        program = tmp_path / "bin" / name / "bridge"
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\n" + body.replace("{bridge}", str(PLUGINS / "bridge")) + "\n")
        program.chmod(0o755)
    text = TEST_FILE.replace("**BRIDGE", f"**{BRIDGE!r}").replace("PLUGINS", str(PLUGINS))
    (tmp_path / "test_mine.py").write_text(text)
    done = run(site, tmp_path, "test_mine.py", "-k", "a2_ or d1_ or k5_", "-rfE")
    failed = re.findall(r"^(?:FAILED|ERROR) \S+::test_(\w+?)_\w+\[([\w ]+)(?:-\w+)?\]", done.stdout, re.MULTILINE)
    assert {name: {check for check, where in failed if where == name} for name in MISTAKES} == FOUND_BY
