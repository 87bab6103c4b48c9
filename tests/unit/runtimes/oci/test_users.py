"""Who a container runs as."""

import os

import pytest

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.oci.users import User, open_in_root, resolve_user

PASSWD = """root:x:0:0:root:/root:/bin/sh
web:x:1000:1001:web:/www:/bin/sh
1234:x:77:78::/odd:/bin/sh
broken line
short:x:5
"""
GROUP = """root:x:0:
web:x:1001:
staff:x:2000:web,other
audit:x:2001:web
wheel:x:10:root
"""


@pytest.fixture
def rootfs(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(PASSWD)
    (tmp_path / "etc/group").write_text(GROUP)
    return tmp_path


def security(uid=None, gid=None, name="", groups=(), strict=False):
    found = cri.LinuxContainerSecurityContext(run_as_username=name, supplemental_groups=groups)
    if strict:
        found.supplemental_groups_policy = cri.SupplementalGroupsPolicy.Strict
    if uid is not None:
        found.run_as_user.value = uid
    if gid is not None:
        found.run_as_group.value = gid
    return found


@pytest.mark.parametrize(
    ("context", "image", "user"),
    [
        (security(), "", User(uid=0, gid=0, groups=(0, 10), home="/root")),
        (security(), "web", User(uid=1000, gid=1001, groups=(1001, 2000, 2001), home="/www")),
        (security(), "web:staff", User(uid=1000, gid=2000, groups=(2000, 2001), home="/www")),
        (security(), "1000:5", User(uid=1000, gid=5, groups=(5, 2000, 2001), home="/www")),
        (security(), "4242", User(uid=4242, gid=0, groups=(0,))),
        (security(uid=1000), "root:root", User(uid=1000, gid=1001, groups=(1001, 2000, 2001), home="/www")),
        (security(uid=1000, gid=9), "", User(uid=1000, gid=9, groups=(9, 2000, 2001), home="/www")),
        (security(gid=9), "web", User(uid=1000, gid=9, groups=(9, 2000, 2001), home="/www")),
        (
            security(name="web", groups=[3, 2000]),
            "",
            User(uid=1000, gid=1001, groups=(1001, 3, 2000, 2001), home="/www"),
        ),
        (security(uid=1000, groups=[3], strict=True), "", User(uid=1000, gid=1001, groups=(1001, 3), home="/www")),
        (security(uid=1234), "", User(uid=77, gid=78, groups=(78,), home="/odd")),
    ],
)
def test_resolve_user(rootfs, context, image, user):
    """The request wins over the image, names over numbers; groups of the image are merged unless strict."""
    assert resolve_user(context, image, rootfs) == user


@pytest.mark.parametrize(
    ("context", "image", "message"),
    [
        (security(name="ghost"), "", "unable to find user ghost"),
        (security(), "web:ghosts", "unable to find group ghosts"),
        (security(gid=5), "", "without user"),
        (security(uid=2**31), "", "must be in range"),
    ],
)
def test_users_that_are_none(rootfs, context, image, message):
    """What cannot be resolved is the request's fault, and named."""
    with pytest.raises(errors.InvalidArgument, match=message):
        resolve_user(context, image, rootfs)


def test_an_image_without_files(tmp_path):
    """Numbers need no passwd file."""
    assert resolve_user(security(uid=5, gid=6), "", tmp_path) == User(uid=5, gid=6, groups=(6,))


@pytest.mark.parametrize("target", ["/etc/shadow-of-the-host", "../../../../outside", "/proc/self/environ"])
def test_links_stay_inside(tmp_path, target):
    """A link in the image leads to the image's own files, however it is written."""
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (tmp_path / "outside").write_text("web:x:1:1:::\n")
    (root / "etc/passwd").symlink_to(target)
    assert resolve_user(security(uid=1), "", root) == User(uid=1, gid=0, groups=(0,))


def test_a_fifo_does_not_hang(tmp_path):
    """An image's passwd that is not a file counts as none."""
    (tmp_path / "etc").mkdir()
    os.mkfifo(tmp_path / "etc/passwd")
    assert resolve_user(security(uid=1), "", tmp_path).uid == 1


def test_open_in_root_follows_links_inside(tmp_path):
    """Absolute links are taken relative to the root."""
    (tmp_path / "real").write_text("here")
    (tmp_path / "link").symlink_to("/real")
    with open(open_in_root(tmp_path, "/link", os.O_RDONLY)) as file:
        assert file.read() == "here"
