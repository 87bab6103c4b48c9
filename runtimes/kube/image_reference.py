"""Image references: what a user writes, and the full name that a runtime stores.

Grammar and defaults are those of the distribution project's references: [host[:port]/]path[:tag][@digest], host "docker.io"
when the first part does not look like one, "library/" for its single names, tag "latest" when neither tag nor digest is given.
"""

import re
from dataclasses import dataclass

from typing_extensions import override

DEFAULT_HOST = "docker.io"
DEFAULT_TAG = "latest"
MAX_REPOSITORY_LENGTH = 255

_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128}")
_BARE_ID = re.compile(r"[a-f0-9]{64}")


class InvalidReference(ValueError):
    """The text is not an image reference."""

    def __init__(self, text: str, problem: str = "invalid reference format") -> None:
        super().__init__(f'couldn\'t parse image name "{text}": {problem}')
        self.text = text


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A normalised reference: host, path, and a tag or a digest. With a digest the tag is only decoration and is dropped."""

    host: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def repository(self) -> str:
        return f"{self.host}/{self.path}"

    def with_digest(self, digest: str) -> "Reference":
        return Reference(host=self.host, path=self.path, digest=digest)

    @override
    def __str__(self) -> str:
        return f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.tag}"


def is_digest(text: str) -> bool:
    """Whether `text` is a digest of a supported algorithm: "sha256:<64 hex>" or "sha512:<128 hex>"."""
    return _DIGEST.fullmatch(text) is not None


def parse(text: str) -> Reference:
    """Normalise what a user wrote. Raises InvalidReference."""
    if _BARE_ID.fullmatch(text):
        raise InvalidReference(text, f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings")
    name, at, digest = text.partition("@")
    if at and not is_digest(digest):
        raise InvalidReference(text)
    tag = ""
    if ":" in name.rpartition("/")[2]:
        name, _, tag = name.rpartition(":")
        if not _TAG.fullmatch(tag):
            raise InvalidReference(text)
    host, path = _split_host(name)
    if not _HOST.fullmatch(host) or not _PATH.fullmatch(path):
        problem = "invalid reference format"
        if _HOST.fullmatch(host) and _PATH.fullmatch(path.lower()):
            problem += f": repository name ({path}) must be lowercase"
        raise InvalidReference(text, problem)
    if len(f"{host}/{path}") > MAX_REPOSITORY_LENGTH:
        raise InvalidReference(text, f"repository name must not be more than {MAX_REPOSITORY_LENGTH} characters")
    return Reference(host=host, path=path, tag="" if digest else tag or DEFAULT_TAG, digest=digest)


def parse_location(text: str) -> tuple[str, str]:
    """Host and path of "host[:port][/path]", as registries and their mirrors are written. Raises ValueError."""
    scheme, separator, rest = text.partition("://")
    if separator:
        hint = "; `insecure: true` in its own entry allows plain HTTP" if scheme == "http" else ""
        raise ValueError(f"{text!r} has a scheme: write {rest.rstrip('/')!r}{hint}")
    host, slash, path = text.partition("/")
    if not _HOST.fullmatch(host) or (slash and not _PATH.fullmatch(path)):
        raise ValueError(f"{text!r} is not a registry: write host[:port] or host[:port]/path")
    if not _looks_like_host(host):
        raise ValueError(f"{text!r} is a path on {DEFAULT_HOST}: a host has a dot or a port, as in an image's name")
    return host, path


def _looks_like_host(first: str) -> bool:
    """Whether the first part of a name is a host and no folder of docker.io."""
    return any(c in first for c in ".:") or first == "localhost" or first != first.lower()


def _split_host(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    host, path = (first, rest) if slash and _looks_like_host(first) else (DEFAULT_HOST, name)
    if host == "index.docker.io":
        host = DEFAULT_HOST
    if host == DEFAULT_HOST and "/" not in path:
        path = f"library/{path}"
    return host, path
