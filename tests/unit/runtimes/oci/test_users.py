"""Who a container runs as."""

import os

import pytest

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.oci.users import User, open_in_root, resolve_user, verify_group_names

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
    ],
)
def test_resolve_user(rootfs, context, image, user):
    """The request wins over the image; groups of the image are merged unless strict."""
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


HOSTILE_PASSWD = """1000:x:0:0::/:/bin/sh
+0:x:5:5::/:
4294967296:x:0:0::/:
-1:x:0:0::/:
99999999999999999999:x:0:0::/:
app:x:1000:1001::/app:
toor:x:4294967294:0::/:
zero:x:000:0::/:
longest:x:%s:0::/:
""" % ("9" * 5000)
HOSTILE_GROUP = """2000:x:0:
+3:x:0:
nobody:x:4294967294:app
longest:x:%s:app
team:x:77:app
""" % ("9" * 5000)


@pytest.fixture
def hostile(tmp_path):
    """An image whose accounts have numbers for names, and ids that are none."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(HOSTILE_PASSWD)
    (tmp_path / "etc/group").write_text(HOSTILE_GROUP)
    return tmp_path


APP = User(uid=1000, gid=1001, groups=(1001, 77), home="/app")


@pytest.mark.parametrize(
    ("context", "image", "user"),
    [
        (security(uid=1000), "", APP),
        (security(uid=1000), "0", APP),
        (security(name="1000"), "", APP),
        (security(), "1000", APP),
        (security(), "+1000", APP),
        (security(), "0" * 40 + "1000", APP),
        (security(uid=1000, strict=True), "", User(uid=1000, gid=1001, groups=(1001,), home="/app")),
        (security(uid=1000, gid=2000), "", User(uid=1000, gid=2000, groups=(2000, 77), home="/app")),
        (security(gid=2000), "1000:7", User(uid=1000, gid=2000, groups=(2000, 77), home="/app")),
        (security(), "1000:2000", User(uid=1000, gid=2000, groups=(2000, 77), home="/app")),
        (security(), "1000:+3", User(uid=1000, gid=3, groups=(3, 77), home="/app")),
        (security(), "1000:02000", User(uid=1000, gid=2000, groups=(2000, 77), home="/app")),
        (security(), "app:2000", User(uid=1000, gid=2000, groups=(2000, 77), home="/app")),
        (security(uid=1000, groups=[0, 2000]), "", User(uid=1000, gid=1001, groups=(1001, 0, 2000, 77), home="/app")),
        *((security(), text, User(uid=0, gid=0, groups=(0,), home="/")) for text in ("0", "00", "+0", "-0", "")),
        (security(), "0:-0", User(uid=0, gid=0, groups=(0,), home="/")),
        (security(), ":2000", User(uid=0, gid=2000, groups=(2000,), home="/")),
    ],
)
def test_a_number_is_that_id_whatever_the_image_calls_it(hostile, context, image, user):
    """Of the request or of the image, user or group, with a sign or zeros before it: never an account of that name."""
    assert resolve_user(context, image, hostile) == user


@pytest.mark.parametrize(
    ("context", "image"),
    [
        (security(), "4294967296"),
        (security(), "-1"),
        (security(), "99999999999999999999"),
        (security(), "9" * 5000),
        (security(), "1000:4294967296"),
        (security(), "1000:-1"),
        (security(), "app:2147483648"),
        (security(name="4294967296"), ""),
        (security(uid=-1), ""),
        (security(uid=2**63 - 1), ""),
        (security(uid=1, gid=2**31), ""),
        (security(uid=1, gid=-1), ""),
        (security(uid=1, groups=[-1]), ""),
        (security(uid=1, groups=[2**32]), ""),
    ],
)
def test_numbers_that_are_no_ids_are_refused(hostile, context, image):
    """They are not cut to 32 bits, which would make some of them root, and not looked up as names either."""
    with pytest.raises(errors.InvalidArgument, match="uids and gids must be in range 0-2147483647"):
        resolve_user(context, image, hostile)


@pytest.mark.parametrize("name", ["toor", "longest", "１０００", " 1000", "0x0", "1_0", "1000 "])
def test_what_is_no_number_is_a_name_and_must_exist(hostile, name):
    """An account whose own id is none does not exist."""
    with pytest.raises(errors.InvalidArgument, match="unable to find user"):
        resolve_user(security(), name, hostile)


@pytest.mark.parametrize("line", ["1001:x:0:", " 1001 :x: 0 :", "1001:x::", "1001:x:zero:", "77:x:78:"])
def test_runtimes_that_look_groups_up_by_name_get_no_image_that_misleads_them(tmp_path, line):
    """A group named by a number that is another group's is refused where it matters, and nowhere else."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/group").write_text(f"web:x:1001:\n77:x:77:\n5:x:0:\n{line}\n")
    with pytest.raises(errors.InvalidArgument, match="the image has a group named"):
        verify_group_names(APP, tmp_path)
    verify_group_names(User(uid=1, gid=2, groups=(2, 3)), tmp_path)


def test_a_name_means_the_first_account_of_that_name(hostile):
    """By name, as before; zeros before an id are of no account."""
    assert resolve_user(security(), "zero", hostile) == User(uid=0, gid=0, groups=(0,), home="/")


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


def test_a_huge_file_is_not_read_to_its_end(tmp_path):
    """An image's passwd of many gigabytes, sparse as it may be, costs what the bound allows (CVE-2025-4437)."""
    (tmp_path / "etc").mkdir()
    with (tmp_path / "etc/passwd").open("wb") as file:
        file.write(b"app:x:1000:1001::/home:/bin/sh\n")
        file.truncate(1 << 40)
    user = resolve_user(cri.LinuxContainerSecurityContext(), "app", tmp_path)
    assert (user.uid, user.gid, user.home) == (1000, 1001, "/home")
