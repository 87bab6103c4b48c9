"""For which present images a pod must show that it may pull them: imagePullCredentialsVerificationPolicy.

Source: docs/facts/pod-lifecycle.md 13.2, docs/facts/node-resources.md 1.2.
"""

from collections.abc import Callable, Sequence

from runtimes.kube.image_reference import InvalidReference, parse

NEVER_PRELOADED = "NeverVerifyPreloadedImages"
NEVER = "NeverVerify"
ALWAYS = "AlwaysVerify"

# (repository as the pod names it without tag and digest, whether the agent pulled it) -> whether to verify
Verification = Callable[[str, bool], bool]


class InvalidPattern(ValueError):
    """An entry of preloadedImagesVerificationAllowlist is none."""


def verification(policy: str, allowlist: Sequence[str] = ()) -> Verification:
    """The rule of a policy. Raises InvalidPattern, ValueError for a policy that does not exist."""
    match policy:
        case "NeverVerifyPreloadedImages":
            return lambda repository, pulled: pulled
        case "NeverVerify":
            return lambda repository, pulled: False
        case "AlwaysVerify":
            return lambda repository, pulled: True
        case "NeverVerifyAllowlistedImages":
            exact, prefixes = patterns(allowlist)
            return lambda repository, pulled: not (repository in exact or repository.startswith(prefixes))
    raise ValueError(f"{policy!r} is no imagePullCredentialsVerificationPolicy")


def patterns(allowlist: Sequence[str]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Entries as repositories and prefixes: `registry/path`, or `registry/path/*`. Raises InvalidPattern."""
    exact: set[str] = set()
    prefixes: list[str] = []
    for entry in allowlist:
        bare = entry.removesuffix("/*")
        if not entry or entry != entry.strip():
            raise InvalidPattern(f"{entry!r}: empty, or with spaces around it")
        if "*" in bare:
            raise InvalidPattern(
                f"{entry!r}: a wildcard may only be the whole last part, as in registry.example/team/*"
            )
        if bare == entry:
            try:
                name = parse(entry)
            except InvalidReference as error:
                raise InvalidPattern(f"{entry!r}: {error}") from None
            if "@" in entry or ":" in entry.rpartition("/")[2]:
                raise InvalidPattern(f"{entry!r}: neither a tag nor a digest may be given")
            exact.add(name.repository)
        else:
            prefixes.append(f"{bare}/")
    return frozenset(exact), tuple(prefixes)
