"""What a kubelet refuses of the eviction settings. Source: docs/facts/node-resources.md 5.2."""

from collections.abc import Iterator

from nodeagent.config.check_node import Problem
from nodeagent.config.eviction import InvalidAmount, Signal, parse_amount
from nodeagent.config.kubelet import KubeletConfiguration
from runtimes.kube.duration import seconds

_SIGNALS = frozenset(Signal)


def eviction(document: KubeletConfiguration) -> Iterator[Problem]:
    for name in ("evictionHard", "evictionSoft", "evictionMinimumReclaim"):
        for signal, text in (getattr(document, name) or {}).items():
            reason = _bad(text, least=name == "evictionMinimumReclaim")
            if signal not in _SIGNALS:
                reason = f"unsupported eviction signal {signal}"
            if reason:
                yield (name, signal), reason
    for signal, text in document.evictionSoftGracePeriod.items():
        where = ("evictionSoftGracePeriod", signal)
        if signal not in _SIGNALS:
            yield where, f"unsupported eviction signal {signal}"
            continue
        try:
            if seconds(text) < 0:
                yield where, f"invalid eviction grace period specified: {text}, must be a positive value"
        except ValueError as error:
            yield where, str(error)
    for signal, text in document.evictionSoft.items():
        if signal not in document.evictionSoftGracePeriod and text not in ("0%", "100%"):  # those are no thresholds
            yield ("evictionSoft", signal), f"grace period must be specified for the soft eviction threshold {signal}"


def _bad(text: str, *, least: bool) -> str:
    """Why it is no threshold, or no `least` amount to reclaim; empty: it is one."""
    try:
        amount = parse_amount(text)
    except InvalidAmount as error:
        return str(error)
    if least:
        if amount.share == 0:
            return f"{text} must be positive"
        return f"{text} must not be negative" if amount.number is not None and amount.number < 0 else ""
    return f"{text} must be positive" if amount.number is not None and amount.number <= 0 else ""
