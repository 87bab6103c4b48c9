"""`nodeagent run`: read the configuration and hand over to the agent."""

import gc
import ipaddress
import sys
from collections.abc import Iterator

import typer

from nodeagent import folders, standby
from nodeagent.config import Config, ConfigProblem, Options, load
from nodeagent.failures import StartError
from nodeagent.folders import Folders
from nodeagent.node.labels import OWN_PREFIXES, WELL_KNOWN, forbidden
from nodeagent.standalone import EmbeddedAPISettings
from runtimes.kube import names

LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("text", "json")


def run(options: Options) -> int:
    """Exit code of the agent; 2, and nothing started, for a configuration with mistakes."""
    try:
        config = load(options)
    except ConfigProblem as problem:
        for line in problem.problems:
            print(line, file=sys.stderr)
        return 2
    gc.disable()  # imports leave nothing to collect, and looking takes a tenth of their time
    try:
        ahead = tuple(begun_ahead(config))
        from nodeagent.main import run as run_agent
    finally:
        gc.enable()
    return run_agent(config, *ahead)


def begun_ahead(config: Config) -> Iterator[object]:
    """The embedded API starts while the agent is still imported, once the folders are this agent's: its process, and they."""
    if not config.options.standalone:
        return
    embedded = standby.fork()
    try:
        held = folders.hold(Folders.of(config.options))
    except (StartError, OSError):
        return  # the agent will find the same, and tell it
    settings = EmbeddedAPISettings.of(config)
    embedded.begin(settings.arguments(settings.port))
    yield embedded
    yield held


def parse_labels(text: str) -> tuple[tuple[str, str], ...]:
    """`a=b,c=d` as pairs. Raises typer.BadParameter, also for labels that no node may give itself."""
    labels: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = part.partition("=")
        reasons = names.qualified_name(name) + names.label_value(value)
        if not equals or reasons:
            told = f": {'; '.join(reasons)}" if equals else ""
            raise typer.BadParameter(f"{part!r} is not a label such as disk=ssd{told}", param_hint="--node-labels")
        labels[name] = value
    if unknown := forbidden(labels):
        raise typer.BadParameter(
            f"unknown 'kubernetes.io' or 'k8s.io' labels specified with --node-labels: [{' '.join(unknown)}]; labels in the "
            f"'kubernetes.io' namespace must begin with an allowed prefix ({', '.join(OWN_PREFIXES)}) or be in the specifically "
            f"allowed set ({', '.join(sorted(WELL_KNOWN))})",
            param_hint="--node-labels",
        )
    return tuple(labels.items())


def checked_ip(text: str) -> str:
    """The address, or two of both families with a comma between. Raises typer.BadParameter."""
    found: list[ipaddress.IPv4Address | ipaddress.IPv6Address] = []
    for part in text.split(",") if text else ():
        try:
            found.append(ipaddress.ip_address(part.strip()))
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--node-ip") from None
    if len(found) > 2 or len({address.version for address in found}) < len(found):
        raise typer.BadParameter(f"{text}: one address, or one of each family", param_hint="--node-ip")
    if len(found) > 1 and any(address.is_unspecified for address in found):
        raise typer.BadParameter(f"{text}: an all zeros address only by itself", param_hint="--node-ip")
    return text


def checked_name(text: str) -> str:
    """A name that a Node may have. Raises typer.BadParameter."""
    if text and (reasons := names.dns1123_subdomain(text.strip().lower())):
        raise typer.BadParameter(f"{text!r}: {'; '.join(reasons)}", param_hint="--node-name")
    return text


def checked_word(option: str, word: str | None, words: tuple[str, ...]) -> str:
    """One of `words`, or "" where none is given. Raises typer.BadParameter."""
    if word is None:
        return ""
    if word not in words:
        raise typer.BadParameter(f"{word!r} is none of {', '.join(words)}", param_hint=option)
    return word
