"""What is not as safe as it could be, or not as it is configured. None of it keeps a pod from running."""

from collections.abc import Iterable
from pathlib import Path

from nodeagent.cli.check.finding import Finding, absent, degraded, found
from nodeagent.config import Config
from nodeagent.node.advisories import Installed, open_holes
from nodeagent.node.config_warnings import config_warnings
from nodeagent.node.exposed_files import UNIT_FILES, exposed, watched
from nodeagent.node.installed_versions import installed_programs
from nodeagent.node.kernel_defaults import SYSCTLS, deviations
from nodeagent.server.tls import key_is_ecdsa

_CONFIGURATION, _FILES, _HOLES = "configuration", "files", "published holes"


async def examine(config: Config, cri_versions: Iterable[tuple[str, str]]) -> list[Finding]:
    return [
        *configuration(config),
        *kernel(config),
        *files(config),
        *holes(await installed_programs(config, tuple(cri_versions))),
    ]


def configuration(config: Config) -> list[Finding]:
    """Fields that do nothing, each with the reason; and those that open the node."""
    findings = []
    for each in config.ignored_settings:
        fix = f"remove {each.field} from the configuration"
        if each.promise:
            findings.append(degraded(_CONFIGURATION, each.field, f"not in force: {each.reason}", fix))
        else:
            findings.append(absent(_CONFIGURATION, each.field, f"without effect here: {each.reason}", fix))
    policy = config.tls_policy
    ecdsa = key_is_ecdsa(Path(config.kubelet.tlsCertFile)) if config.kubelet.tlsCertFile else True
    findings += [
        degraded(_CONFIGURATION, "TLS", text, f"correct {text.partition(':')[0] if ':' in text else 'tlsCipherSuites'}")
        for text in policy.remarks(ecdsa)
    ]
    for text in config_warnings(config):
        problem, _, fix = text.rpartition("; ")
        findings.append(degraded(_CONFIGURATION, "access", problem, fix))
    return findings or [found(_CONFIGURATION, "in force", "every field of the file")]


def kernel(config: Config, sysctls: Path = SYSCTLS) -> list[Finding]:
    protect = config.kubelet.protectKernelDefaults
    wrong = deviations(sysctls)
    if not wrong:
        return [found("kernel", "settings")]
    way = "the agent does not start with protectKernelDefaults" if protect else "the agent sets it when it starts"
    # what the agent will set is no fault
    told = degraded if protect else _to_be_set
    return [told("kernel", item.name, f"{item}: {way}", item.command) for item in wrong]


def _to_be_set(group: str, name: str, detail: str, fix: str) -> Finding:
    return found(group, name, detail)


def files(config: Config, unit_files: Iterable[Path] = UNIT_FILES) -> list[Finding]:
    """CIS 4.1: whose they are, and who may read and write them."""
    looked_at = watched(config, unit_files)
    wrong = [degraded(_FILES, each.what, f"{each.path} {each.problem}", each.command) for each in exposed(looked_at)]
    return wrong or [found(_FILES, "owners and modes", f"of {sum(each.path.exists() for each in looked_at)} files")]


def holes(programs: Iterable[Installed]) -> list[Finding]:
    """The cure is a newer package, or what the advisory says."""
    findings = []
    for installed in programs:
        listed = list(open_holes(installed))
        for each in listed:
            detail = f"{each.cve}: {each.what}; {each.source}"
            fix = f"upgrade to {' or '.join(each.fixed)}, or to a package with its cure"
            findings.append(degraded(_HOLES, installed.shown, detail, fix))
        if not listed:
            findings.append(found(_HOLES, installed.shown, "none known"))
    return findings
