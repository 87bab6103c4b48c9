"""Versions as Debian orders them: digits as numbers, a tilde before everything, also before the end.

Upstream's `1.0.0-rc95` is written `1.0.0~rc95` first, so that a candidate comes before its release.
Source: deb-version(7).
"""

import itertools
import re

_PARTS = re.compile(r"(\D*)(\d*)")
_DATE = re.compile(r"(?:0\.0~|release-)?(\d{8})")  # gVisor's
_CANDIDATE = re.compile(r"[-~]?(rc|alpha|beta)\.?(?=\d)")


def order(version: str) -> list[tuple[list[int], int]]:
    """A key for sorting. An epoch counts first; a revision last."""
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, _, revision = rest.rpartition("-") if "-" in rest else (rest, "", "0")
    return [([], int(epoch) if epoch.isdigit() else 0), *_order(upstream), *_order(revision)]


def upstream(version: str) -> str:
    """What the program itself would say: without epoch, revision and the packager's `+ds1`."""
    bare = version.removeprefix("v").partition(":")[2] or version.removeprefix("v")
    if date := _DATE.match(bare):
        return date.group(1)
    bare = _CANDIDATE.sub(r"~\1", bare)
    return re.split(r"[+-]|~ds|~git", bare, maxsplit=1)[0]


def branch(version: str) -> tuple[int, ...]:
    """Major and minor."""
    return tuple(int(part) for part in itertools.islice(re.findall(r"\d+", version), 2))


def _order(text: str) -> list[tuple[list[int], int]]:
    # the end counts as 0: after a tilde (-1), before letters, before all the rest; the last match is the end
    return [([*map(_weight, words), 0], int(digits or 0)) for words, digits in _PARTS.findall(text)]


def _weight(character: str) -> int:
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 256
