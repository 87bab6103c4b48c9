"""The store's images as CRI messages."""

from pathlib import Path

import pytest

from runtimes.oci.images.contract import ImageConfig, ImageRecord
from runtimes.oci.images.messages import image


@pytest.mark.parametrize(
    ("user", "uid", "username"),
    [
        ("", None, ""),
        ("web:staff", None, "web"),
        ("1000:2000", 1000, ""),
        *((text, 0, "") for text in ("0", "00", "+0", "-0", "0:5")),
        ("+7", 7, ""),
        ("-1", -1, ""),
        ("4294967296", 4294967296, ""),
        ("9" * 19, None, "9" * 19),
        (" 0", None, " 0"),
    ],
)
def test_the_user_of_an_image_is_told_as_it_will_run(user: str, uid: int | None, username: str) -> None:
    """Whatever the engine would take for a number is told as a number, so that runAsNonRoot judges the id that will run."""
    record = ImageRecord(
        id="sha256:1",
        manifest_digest="sha256:2",
        tags=(),
        digests=(),
        layers=(),
        size_bytes=0,
        unpacked_bytes=0,
        unpacked_inodes=0,
        config=ImageConfig(user=user),
        rootfs=Path("/x"),
    )
    found = image(record)
    assert (found.uid.value if found.HasField("uid") else None, found.username) == (uid, username)
