"""Which published holes a program still has: by its makers' version, its package's, and the package's changelog."""

import gzip
import itertools
import re
from pathlib import Path

import pytest

from nodeagent.node.advisories import ADVISORIES, Installed, describe, open_holes
from nodeagent.node.installed_versions import _cures
from nodeagent.node.versions import order, upstream

RUNC_2025 = ["CVE-2025-31133", "CVE-2025-52565", "CVE-2025-52881"]
DEV_LINK = "CVE-2026-41579"
LABELS = "CVE-2026-53488"
CONSOLE = "CVE-2026-88264"
DEBIAN_12 = "1.1.5+ds1-1+deb12u1"


def holes(program: str, version: str, package: str = "", cures: tuple[str, ...] = (), said: str = "") -> list[str]:
    installed = Installed(program=program, version=version, package_version=package, cures=frozenset(cures), said=said)
    return [each.cve for each in open_holes(installed)]


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("1.1.4", ["CVE-2023-27561", "CVE-2023-28642", "CVE-2024-21626", "CVE-2024-45310", *RUNC_2025, DEV_LINK]),
        ("1.1.5", ["CVE-2024-21626", "CVE-2024-45310", *RUNC_2025, DEV_LINK]),
        ("1.1.12", ["CVE-2024-45310", *RUNC_2025, DEV_LINK]),
        ("1.1.15", [*RUNC_2025, DEV_LINK]),
        ("1.2.0-rc.2", ["CVE-2024-45310", *RUNC_2025, DEV_LINK]),
        ("1.2.0-rc.3", [*RUNC_2025, DEV_LINK]),
        ("1.2.7", [*RUNC_2025, DEV_LINK]),
        ("1.2.8", [DEV_LINK]),
        ("1.3.2", [*RUNC_2025, DEV_LINK]),
        ("1.3.3", [DEV_LINK]),
        ("1.3.3+dev", [DEV_LINK]),
        ("1.4.0-rc.2", [*RUNC_2025, DEV_LINK]),
        ("1.4.0-rc.3", [DEV_LINK]),
        ("1.4.0", [DEV_LINK]),
        ("1.4.3", []),
        ("1.10.0", []),
        ("2.0.0", []),
    ],
)
def test_runc_by_its_makers_versions(version: str, expected: list[str]) -> None:
    """A branch is cured from its own release on, later branches altogether, candidates come before their release."""
    assert holes("runc", version) == expected


def test_debians_cures() -> None:
    """The same makers' version: as a package with the cure ported back, an older package, and one of another base."""
    assert holes("runc", "1.1.5+ds1", DEBIAN_12) == ["CVE-2024-45310", *RUNC_2025, DEV_LINK]
    assert holes("runc", "1.1.5+ds1", "1.1.5+ds1-1") == ["CVE-2024-21626", "CVE-2024-45310", *RUNC_2025, DEV_LINK]
    assert holes("runc", "1.1.5+ds1", "1.1.5+ds1-1+b4")[0] == "CVE-2024-21626", "built again, not cured"
    assert holes("runc", "1.1.4+ds1", "1.1.4+ds1-9+deb12u9")[2] == "CVE-2024-21626"
    assert "CVE-2024-21626" not in holes("runc", "1.0.0~rc93+ds1", "1.0.0~rc93+ds1-5+deb11u5")
    assert "CVE-2024-21626" in holes("runc", "1.0.0~rc93+ds1", "1.0.0~rc93+ds1-5+deb11u2")


def test_a_packages_changelog_counts() -> None:
    """A later update that this table does not know says itself what it cures."""
    assert holes("runc", "1.1.5+ds1", "1.1.5+ds1-1+deb12u9", cures=tuple(RUNC_2025)) == [
        "CVE-2024-45310",
        DEV_LINK,
    ]


@pytest.mark.parametrize(
    ("program", "version", "expected"),
    [
        ("crun", "0.10.4", ["CVE-2019-18837", CONSOLE]),
        ("crun", "1.8.1", [CONSOLE]),
        ("crun", "1.30", []),
        ("runsc", "0.0~20221219.0", []),
        ("runsc", "release-20180801.0", ["CVE-2018-16359"]),
        ("containerd", "1.6.20~ds1", ["CVE-2024-25621", "CVE-2024-40635", LABELS]),
        ("containerd", "v1.7.28", ["CVE-2024-25621", LABELS]),
        ("containerd", "v2.1.0", ["CVE-2024-25621", LABELS, "CVE-2025-47290"]),
        ("containerd", "2.0.4", ["CVE-2024-25621", LABELS]),
        ("containerd", "2.2.0", [LABELS]),
        ("containerd", "1.5.9", ["CVE-2022-23648", "CVE-2024-25621", "CVE-2024-40635", LABELS]),
        ("skopeo", "1.9.3", ["CVE-2024-3727"]),
        ("skopeo", "1.14.4", []),
        ("cri-o", "1.23.1", ["CVE-2022-0811"]),
        ("cri-o", "1.18.0", []),
        ("kata", "1.0", []),
    ],
)
def test_the_others(program: str, version: str, expected: list[str]) -> None:
    """Also holes that came only with a version; programs that the table does not know have none that it knows."""
    assert holes(program, version) == expected


def test_a_hole_of_a_part_that_is_not_built_in() -> None:
    """crun's krun handler: only where crun says that it has it."""
    assert holes("crun", "1.8.1", said="crun version 1.8.1\n+SYSTEMD +SELINUX +CAP") == [CONSOLE]
    assert holes("crun", "1.8.1", said="crun version 1.8.1\n+SYSTEMD +LIBKRUN") == ["CVE-2025-24965", CONSOLE]
    assert holes("crun", "1.20", said="crun version 1.20\n+LIBKRUN") == [CONSOLE]


def test_one_line_for_the_log() -> None:
    """The package's version, where it is one."""
    installed = Installed(program="runc", version="1.1.5+ds1", package_version=DEBIAN_12)
    assert describe(installed, list(open_holes(installed))[:1]) == (
        f"runc {DEBIAN_12} has published holes that are not closed: CVE-2024-45310: empty files and folders on the host through "
        "a shared volume"
    )


def test_every_entry_has_a_source_and_versions() -> None:
    """The table is for people to check."""
    for advisory in itertools.chain.from_iterable(ADVISORIES.values()):
        assert re.fullmatch(r"CVE-\d{4}-\d+", advisory.cve)
        assert advisory.source.startswith("https://") and advisory.fixed and advisory.what
        assert list(advisory.fixed) == sorted(advisory.fixed, key=order)


def test_order_is_debians() -> None:
    """Tildes, numbers, epochs, revisions (deb-version(7); compared with dpkg for these)."""
    ascending = [
        *("1.0.0~rc7", "1.0.0~rc10", "1.0.0~rc93+ds1-5", "1.0.0~rc93+ds1-5+deb11u3", "1.0.0", "1.1.5", "1.1.5+ds1-1"),
        *("1.1.5+ds1-1+deb12u1", "1.1.12", "1.4.0~rc3", "1.4.0", "1.6.20~ds1-1+deb12u3", "1.6.20", "1.8", "1.8.1"),
        *("1.20", "2.1.0-1~bpo12+1", "2.1.0-1", "20180823", "1:0.5-1"),
    ]
    assert sorted(set(ascending), key=order) == ascending


def test_what_the_makers_call_it() -> None:
    """Without what packagers add; candidates spelled in Debian's way; gVisor's dates."""
    spelled = {
        "1.1.5+ds1-1+deb12u1": "1.1.5",
        "1.0.0-rc95": "1.0.0~rc95",
        "1.0.0~rc93+ds1-5+deb11u3": "1.0.0~rc93",
        "v1.7.3": "1.7.3",
        "1.6.20~ds1": "1.6.20",
        "1:1.2.3-1": "1.2.3",
        "0.0~20221219.0-2+b3": "20221219",
        "1.2.0-rc.3+dev": "1.2.0~rc3",
    }
    assert {version: upstream(version) for version in spelled} == spelled


def test_the_changelog_is_read(tmp_path: Path) -> None:
    """Debian's own first; none where documentation was left out."""
    (tmp_path / "runc").mkdir()
    with gzip.open(tmp_path / "runc" / "changelog.Debian.gz", "wb") as file:
        file.write(b"runc (1.1.5) x\n  * CVE-2024-21626, CVE-2025-52881: fixed\n")
    assert _cures("runc", tmp_path) == {"CVE-2024-21626", "CVE-2025-52881"}
    assert _cures("crun", tmp_path) == frozenset()
