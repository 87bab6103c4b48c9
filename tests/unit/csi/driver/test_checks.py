"""What a request must have."""

import pytest

from csi import errors
from csi.driver import checks, mount_options
from csi.driver.pages import page
from csi.driver.records import Access, Snapshot
from csi.driver.request_rules import DEFAULT_BYTES, volume_size
from csi.values import AccessMode, block_capability, mount_capability
from proto import csi_pb2 as csi
from runtimes.linux import syscalls

MIB = 1024**2
WRITER = AccessMode.SINGLE_NODE_WRITER


@pytest.mark.parametrize("path", ["", "relative", "/", "/a/../b", "/..", "/a\0b", "/" + "x" * 5000])
def test_paths_that_name_no_place(path: str) -> None:
    """Absolute, without `..`, not the root directory, of a length that there is."""
    with pytest.raises(errors.InvalidArgument, match=r"^target_path"):
        checks.path(path, "target_path")


@pytest.mark.parametrize("name", ["", "a\0", "a\x1b", "\x85", "x" * 1025])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(errors.InvalidArgument):
        checks.name(name)


def test_names_of_any_letters() -> None:
    """Tabs and newlines are no control characters for CSI, and a name is no path."""
    assert checks.name("../ü\t☃") == "../ü\t☃"


def test_a_group_has_to_be_claimed() -> None:
    """On the node: INVALID_ARGUMENT without VOLUME_MOUNT_GROUP, otherwise a number."""
    request = csi.NodeStageVolumeRequest(volume_capability=mount_capability(WRITER, mount_group="5"))
    assert checks.on_node(request, claims_groups=True).group == 5
    with pytest.raises(errors.InvalidArgument, match="VOLUME_MOUNT_GROUP is not claimed"):
        checks.on_node(request, claims_groups=False)


@pytest.mark.parametrize(
    "capability",
    [
        csi.VolumeCapability(),
        csi.VolumeCapability(mount=csi.VolumeCapability.MountVolume()),
        mount_capability(WRITER, fs_type="zfs"),
        mount_capability(WRITER, mount_group="staff"),
    ],
)
def test_capabilities_that_cannot_be(capability: csi.VolumeCapability) -> None:
    """No kind, no mode, a file system that is not there, a group that is no number."""
    with pytest.raises(errors.InvalidArgument, match=r"^volume_capability: "):
        checks.access(capability)


def test_capabilities() -> None:
    assert checks.access(mount_capability(WRITER, fs_type="ext4", mount_flags=["ro"])) == Access(
        mode=WRITER, fs_type="ext4", flags=("ro",)
    )
    assert checks.access(block_capability(WRITER)) == Access(mode=WRITER, block=True)


@pytest.mark.parametrize(
    ("backing", "required", "limit", "size"),
    [
        ("directory", 0, 0, DEFAULT_BYTES),
        ("directory", 0, 5, 5),
        ("directory", 7, 0, 7),
        ("image", 16 * MIB, 0, 16 * MIB),
        ("image", 16 * MIB + 1, 0, 16 * MIB + 4096),
        ("image", 1, 0, 8 * MIB),
        ("image", 0, 9 * MIB + 5, 9 * MIB),
    ],
)
def test_sizes(backing: str, required: int, limit: int, size: int) -> None:
    """What is required; of an image in blocks, and no smaller than a file system can be; within the limit."""
    assert volume_size("image" if backing == "image" else "directory", required, limit) == size


@pytest.mark.parametrize(("required", "limit"), [(0, 5), (16 * MIB + 1, 16 * MIB + 2)])
def test_a_limit_that_no_image_fits_in(required: int, limit: int) -> None:
    with pytest.raises(errors.OutOfRange):
        volume_size("image", required, limit)


@pytest.mark.parametrize(("required", "limit"), [(-1, 0), (0, -1), (2, 1), (2**63 - 1, 0)])
def test_ranges_that_are_none(required: int, limit: int) -> None:
    with pytest.raises(errors.OutOfRange):
        checks.size(csi.CapacityRange(required_bytes=required, limit_bytes=limit))


def test_mount_options() -> None:
    """Of a bind mount as attributes, others refused; of a file system as flags and its own text."""
    found = mount_options.attributes(("noatime", "rw", "nodev"), readonly=True)
    assert found == syscalls.MOUNT_ATTR_NOATIME | syscalls.MOUNT_ATTR_NODEV | syscalls.MOUNT_ATTR_RDONLY
    with pytest.raises(errors.InvalidArgument, match="'discard' is no option of a bind mount"):
        mount_options.attributes(("discard",), readonly=False)
    assert mount_options.flags(("nosuid", "discard", "data=ordered"), readonly=True) == (
        syscalls.MS_NOSUID | syscalls.MS_RDONLY,
        "discard,data=ordered",
    )


def snapshot(number: int) -> Snapshot:
    identity = f"snap-{number:032x}"
    return Snapshot(snapshot_id=identity, name="", source_volume_id="", size_bytes=0, created_ns=0, backing="directory")


def test_pages_hold_whatever_is_deleted_meanwhile() -> None:
    """The last id of a page is where the next begins, whether it is there any more or not."""
    entries = [snapshot(number) for number in range(5)]
    first, token = page(entries, 2, "")
    second, last = page(entries[2:], 3, token)
    assert ([*first, *second], last) == (entries, "")


def test_pages_that_are_none() -> None:
    with pytest.raises(errors.Pending):
        page([], 0, "../x")
    with pytest.raises(errors.InvalidArgument):
        page([], -1, "")
