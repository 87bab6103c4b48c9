import pytest

from nodeagent.images.verification import InvalidPattern, patterns, verification

ALLOWED = ("r.example/base", "r.example/team/*")


@pytest.mark.parametrize(
    ("policy", "repository", "pulled", "verify"),
    [
        ("NeverVerifyPreloadedImages", "r.example/app", True, True),
        ("NeverVerifyPreloadedImages", "r.example/app", False, False),
        ("NeverVerify", "r.example/app", True, False),
        ("AlwaysVerify", "r.example/app", False, True),
        ("NeverVerifyAllowlistedImages", "r.example/base", True, False),
        ("NeverVerifyAllowlistedImages", "r.example/base/more", True, True),
        ("NeverVerifyAllowlistedImages", "r.example/team/a", False, False),
        ("NeverVerifyAllowlistedImages", "r.example/team", False, True),
        ("NeverVerifyAllowlistedImages", "r.example/app", False, True),
    ],
)
def test_policies(policy: str, repository: str, pulled: bool, verify: bool) -> None:
    """Whether a pod must show credentials, by policy, name and who brought the image."""
    assert verification(policy, ALLOWED)(repository, pulled) is verify


@pytest.mark.parametrize(
    "entry",
    ["", " r.example/a", "r.example/*/a", "*", "r.example/a:1", f"r.example/a@sha256:{'0' * 64}", "r.example/A"],
)
def test_bad_patterns(entry: str) -> None:
    """An entry is a repository, or a prefix with a wildcard as its last part."""
    with pytest.raises(InvalidPattern):
        patterns([entry])
