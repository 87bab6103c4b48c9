"""Values of options that a type alone does not check."""

import ipaddress

import typer

from nodeagent.node import labels
from runtimes.kube import names

LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("text", "json")


def parse_labels(text: str) -> tuple[tuple[str, str], ...]:
    """`a=b,c=d` as pairs. Raises typer.BadParameter, also for labels that no node may give itself."""
    try:
        return tuple(labels.parsed(part for part in text.split(",")).items())
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--node-labels") from None


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
