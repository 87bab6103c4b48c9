"""`nodeagent check`: every requirement of the machine, what was found, and how to fix it."""

import asyncio
import sys

from nodeagent.cli.check import cgroups, host, kernel, network, plugins, programs, security
from nodeagent.cli.check.finding import Finding, State
from nodeagent.cli.output import Output, print_json, print_table
from nodeagent.config import Config, ConfigProblem, Options, load
from nodeagent.plugin_registration.registry import FOLDER

_STYLES = {State.FOUND: "green", State.DEGRADED: "yellow", State.MISSING: "red"}


def run(options: Options, output: Output) -> int:
    """0: a pod can run here. 1: it cannot. 2: the configuration has mistakes."""
    try:
        config = load(options)
    except ConfigProblem as problem:
        print("\n".join(problem.problems), file=sys.stderr)
        return 2
    findings = asyncio.run(examine(config))
    ready = not any(finding.fatal for finding in findings)
    if output is Output.JSON:
        print_json({"ready": ready, "checks": [finding.as_json() for finding in findings]})
    else:
        _print(findings)
        wrong = sum(finding.fatal for finding in findings)
        print(f"\n{'Pods can run on this machine.' if ready else f'No pod can run on this machine: {wrong} missing.'}")
    return 0 if ready else 1


async def examine(config: Config) -> list[Finding]:
    """Every finding, in the order in which an operator would look."""
    return [
        *kernel.examine(),
        *cgroups.examine(config),
        *host.examine_capabilities(),
        *await programs.examine(config),
        *network.examine_cni(config),
        *network.examine_ports(config),
        *host.examine_resources(config),
        *await plugins.examine(config.options.root_dir / FOLDER),
        *await security.examine(config, await programs.cri_versions(config)),
    ]


def _print(findings: list[Finding]) -> None:
    rows = []
    for finding in findings:
        state = finding.state.value if finding.state is not State.MISSING or finding.required else "missing (optional)"
        rows.append([finding.group, finding.name, state, finding.detail, finding.fix])
    print_table(("GROUP", "WHAT", "STATE", "DETAIL", "FIX"), rows, styles=[_STYLES[item.state] for item in findings])
