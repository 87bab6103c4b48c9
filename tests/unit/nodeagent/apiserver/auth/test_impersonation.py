"""Acting as somebody else."""

import pytest

from nodeagent.apiserver.auth.attributes import Attributes
from nodeagent.apiserver.auth.impersonation import impersonated
from nodeagent.apiserver.contract import UserInfo
from nodeagent.apiserver.errors import ApiError

ADMIN = UserInfo(name="admin", groups=("system:masters", "system:authenticated"))
Headers = list[tuple[str, str]]


def act(headers: Headers, denied: str = "") -> tuple[UserInfo, list[tuple[str, ...]]]:
    """The user that the admin goes on as, and what was asked; `denied`: a resource that may not be impersonated."""
    asked: list[tuple[str, ...]] = []

    def authorize(question: Attributes) -> None:
        assert (question.user, question.verb) == (ADMIN, "impersonate")
        resource = f"{question.resource}/{question.subresource}".rstrip("/")
        asked.append((question.group, resource, question.namespace, question.name))
        if question.resource == denied:
            raise ApiError.forbidden(question.resource_id, question.name, "no")

    return impersonated(ADMIN, headers, authorize), asked


def test_nobody_else() -> None:
    """Without the headers, or with empty ones, everybody is who they are."""
    assert act([("Accept", "*/*")]) == (ADMIN, [])
    assert act([("Impersonate-User", "")]) == (ADMIN, [])


def test_every_part_is_asked_for() -> None:
    """User, groups, uid and every value of every extra: each is a question of its own, and becomes the user's."""
    user, asked = act(
        [
            ("impersonate-USER", "jane"),
            ("Impersonate-Group", "dev"),
            ("Impersonate-Group", "ops"),
            ("Impersonate-Uid", "42"),
            ("Impersonate-Extra-Scopes", "a"),
            ("Impersonate-Extra-Scopes", "b"),
            ("Impersonate-Extra-example.com%2Fx", "c"),
        ]
    )
    authn = "authentication.k8s.io"
    assert asked == [
        ("", "users", "", "jane"),
        ("", "groups", "", "dev"),
        ("", "groups", "", "ops"),
        (authn, "userextras/scopes", "", "a"),
        (authn, "userextras/scopes", "", "b"),
        (authn, "userextras/example.com/x", "", "c"),
        (authn, "uids", "", "42"),
    ]
    extra = {"scopes": ("a", "b"), "example.com/x": ("c",)}
    assert user == UserInfo(name="jane", uid="42", groups=("dev", "ops", "system:authenticated"), extra=extra)


@pytest.mark.parametrize("denied", ["users", "groups", "uids", "userextras"])
def test_one_part_refused_is_all_refused(denied: str) -> None:
    """Whoever may not take one of the parts takes none."""
    headers = [("Impersonate-User", "j"), ("Impersonate-Group", "g"), ("Impersonate-Uid", "u")]
    with pytest.raises(ApiError) as refused:
        act([*headers, ("Impersonate-Extra-K", "v")], denied)
    assert refused.value.code == 403


@pytest.mark.parametrize(
    ("name", "groups", "became", "asked"),
    [
        (
            "system:serviceaccount:ns:robot",
            (),
            ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"),
            ("", "serviceaccounts", "ns", "robot"),
        ),
        (
            "system:serviceaccount:ns:robot",
            ("g",),
            ("g", "system:authenticated"),
            ("", "serviceaccounts", "ns", "robot"),
        ),
        ("system:serviceaccount:ns", (), ("system:authenticated",), ("", "users", "", "system:serviceaccount:ns")),
        ("system:anonymous", (), ("system:unauthenticated",), ("", "users", "", "system:anonymous")),
        ("j", ("system:unauthenticated",), ("system:unauthenticated",), ("", "users", "", "j")),
        ("j", ("system:authenticated",), ("system:authenticated",), ("", "users", "", "j")),
    ],
)
def test_groups(name: str, groups: tuple[str, ...], became: tuple[str, ...], asked: tuple[str, ...]) -> None:
    """Groups that were named are those; service accounts have theirs; all but nobody are authenticated."""
    user, questions = act([("Impersonate-User", name), *(("Impersonate-Group", group) for group in groups)])
    assert (user, questions[0]) == (UserInfo(name=name, groups=became), asked)


@pytest.mark.parametrize("name", ["Impersonate-Group", "Impersonate-Uid", "Impersonate-Extra-Key"])
def test_parts_without_a_user(name: str) -> None:
    """A group, uid or extra alone is refused, to masters too."""
    with pytest.raises(ApiError) as refused:
        act([(name, "x")])
    assert (refused.value.code, "without impersonating a user" in str(refused.value.status()["message"])) == (400, True)
