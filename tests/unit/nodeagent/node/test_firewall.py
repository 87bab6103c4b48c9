"""The rule that keeps others from the host's 127.0.0.0/8: set once, whoever else sets it, and again when it is gone."""

import json
import sys
from pathlib import Path

import pytest

from nodeagent.node.firewall import CHAIN, HINT_CHAIN, RULE, Firewall, FirewallError

# An iptables that keeps its rules in a file: `-S CHAIN`, `-N CHAIN`, `-C|-A CHAIN RULE`, `-I CHAIN 1 RULE`.
BODY = """
import json, pathlib, sys
path = pathlib.Path(__file__ + ".json")
chains = json.loads(path.read_text()) if path.exists() else {"filter INPUT": [["old"]], "filter OUTPUT": []}
assert sys.argv[1:4] == ["-w", "5", "-t"]
table, verb, chain, *rule = sys.argv[4:]
key = f"{table} {chain}"
if verb == "-S":
    sys.exit(key not in chains)
if verb == "-N":
    if key in chains or "refusing" in sys.argv[0]:
        sys.exit("iptables: Chain already exists." if key in chains else "iptables: Permission denied.")
    chains[key] = []
if verb == "-C":
    sys.exit(rule not in chains[key])
if verb == "-A":
    chains[key].append(rule)
if verb == "-I":
    chains[key].insert(0, rule[1:])
path.write_text(json.dumps(chains))
"""


@pytest.fixture
def programs(tmp_path: Path) -> tuple[str, str]:
    for name in ("iptables", "ip6tables", "refusing"):
        (tmp_path / name).write_text(f"#!{sys.executable} -IS{BODY}")
        (tmp_path / name).chmod(0o755)
    return str(tmp_path / "iptables"), str(tmp_path / "ip6tables")


def rules(program: str) -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = json.loads(Path(program + ".json").read_text())
    return found


EXPECTED = {
    "filter INPUT": [["-j", CHAIN], ["old"]],
    "filter OUTPUT": [["-j", CHAIN]],
    f"filter {CHAIN}": [list(RULE)],
    f"mangle {HINT_CHAIN}": [],
}


async def test_the_rules_are_set_once(programs: tuple[str, str]) -> None:
    """First in INPUT and OUTPUT; by two agents, again and again, once; flushed ones come back; IPv6 has the hint only."""
    for _ in range(2):
        await Firewall(programs).ensure()
        await Firewall(programs).ensure()
        assert rules(programs[0]) == EXPECTED
        assert f"filter {CHAIN}" not in rules(programs[1]) and f"mangle {HINT_CHAIN}" in rules(programs[1])
        flushed = {"filter INPUT": [["old"]], "filter OUTPUT": [], f"filter {CHAIN}": []}
        Path(programs[0] + ".json").write_text(json.dumps(flushed))


async def test_a_refusal_is_told_in_its_words(programs: tuple[str, str], tmp_path: Path) -> None:
    """The program's own."""
    with pytest.raises(FirewallError, match="Permission denied"):
        await Firewall((str(tmp_path / "refusing"), "")).ensure()


async def test_a_machine_without_iptables(caplog: pytest.LogCaptureFixture) -> None:
    """It is told once, and what that means; the agent goes on."""
    await Firewall(("", "")).run()
    assert [record.getMessage() for record in caplog.records] == [
        "makeIPTablesUtilChains: there is no iptables on this machine",
        "makeIPTablesUtilChains: there is no ip6tables on this machine",
        "pods with a host port on this machine let others reach what listens on 127.0.0.1",
    ]
