"""What the testers' documents show can be run: their command lines parse, their workflows are YAML."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from nodeagent.cli.app import app

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGES = ("testing-cni.md", "testing-csi.md")


def steps(page: str) -> list[dict[str, Any]]:
    """Of the page's only workflow."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)
    (workflow,) = [found for block in blocks if "jobs" in (found := yaml.safe_load(block))]
    (job,) = workflow["jobs"].values()
    found: list[dict[str, Any]] = job["steps"]
    return found


def command_lines(page: str) -> Iterator[list[str]]:
    """Arguments of every `nodeagent … test` that is shown."""
    shown = [line for line in (DOCS / page).read_text().splitlines() if line.startswith("sudo nodeagent ")]
    for line in [*shown, *(step.get("run", "") for step in steps(page))]:
        words = shlex.split(line.replace("$(which nodeagent)", "nodeagent"), comments=True)
        if words[:2] == ["sudo", "nodeagent"] and "test" in words:
            yield words[words.index("nodeagent") + 1 :]


@pytest.mark.parametrize("page", PAGES)
def test_command_lines(page: str) -> None:
    """Each is one that the program takes."""
    lines = list(command_lines(page))
    assert len(lines) >= 2
    for group, command, *arguments in lines:
        found: Any = typer.main.get_command(app)
        found = found.commands[group].commands[command]
        assert found.make_context(command, list(arguments)).params["output"] is not None or "--plugin" in arguments


@pytest.mark.parametrize("page", PAGES)
def test_workflows(page: str) -> None:
    """Every step does one thing, and the reports are kept when the checks fail."""
    assert all(("uses" in step) != ("run" in step) for step in steps(page))
    assert steps(page)[-1]["if"] == "always()"
    assert any("-o junit=" in step.get("run", "") for step in steps(page))


@pytest.mark.parametrize(("page", "command"), [("testing-cni.md", "cni"), ("testing-csi.md", "csi")])
def test_every_option_is_told(page: str, command: str) -> None:
    """In the page's table, and in the pytest plug-in where it says what is tested."""
    found: Any = typer.main.get_command(app)
    options = {
        name
        for parameter in found.commands[command].commands["test"].params
        for name in parameter.opts
        if name.startswith("--") and name != "--help"
    }
    text = (DOCS / page).read_text()
    told = set(re.findall(r"`(--[a-z-]+)", "\n".join(line for line in text.splitlines() if line.startswith("|"))))
    told |= set(re.findall(r", `(--[a-z-]+)", text))
    assert sorted(options - told) == []
