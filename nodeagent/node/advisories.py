"""Published holes by which a container, or an image, gets out; and the versions of the programs that no longer have them.

A table to warn by, with its sources, as of November 2026: it names what is known to be open, and promises nothing about the rest.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nodeagent.node.versions import branch, order, upstream


@dataclass(frozen=True, slots=True, kw_only=True)
class Advisory:
    """`fixed`: the first version without it, of each branch that got a release; every later branch is without it too.

    `since`: the first version with it; empty: all. `packages`: versions of Debian's packages that have the cure ported back.
    """

    cve: str
    what: str
    source: str
    fixed: tuple[str, ...]
    since: str = ""
    packages: tuple[str, ...] = ()
    only_with: str = ""  # a word that the program's --version must say

    def concerns(self, version: str) -> bool:
        """Whether the program itself, of this version of its makers, has the hole."""
        version = upstream(version)
        if self.since and order(version) < order(self.since):
            return False
        own_branch = [fixed for fixed in self.fixed if branch(fixed) == branch(version)]
        return order(version) < order(own_branch[0] if own_branch else max(self.fixed, key=order))

    def cured_by_package(self, package_version: str) -> bool:
        """Whether Debian's package of that version has the cure although its makers' version does not."""
        return any(
            upstream(package_version) == upstream(cure) and order(package_version) >= order(cure)
            for cure in self.packages
        )


def _github(repository: str, advisory: str) -> str:
    return f"https://github.com/{repository}/security/advisories/{advisory}"


_RUNC = "opencontainers/runc"
_CONTAINERD = "containerd/containerd"
_RUNC_2025 = ("1.2.8", "1.3.3", "1.4.0~rc3")
ADVISORIES: dict[str, tuple[Advisory, ...]] = {
    "runc": (
        Advisory(
            cve="CVE-2019-5736",
            what="a container overwrites the runtime through /proc/self/exe",
            source="https://www.openwall.com/lists/oss-security/2019/02/11/2",
            fixed=("1.0.0~rc7",),
        ),
        Advisory(
            cve="CVE-2019-16884",
            what="an image's volume over /proc takes AppArmor away",
            source=_github(_RUNC, "GHSA-fgv8-vj5c-2ppq"),
            fixed=("1.0.0~rc9",),
        ),
        Advisory(
            cve="CVE-2019-19921",
            what="a shared volume raced over /proc",
            source=_github(_RUNC, "GHSA-fh74-hm69-rqjw"),
            fixed=("1.0.0~rc10",),
        ),
        Advisory(
            cve="CVE-2021-30465",
            what="a link exchanged while a volume is mounted",
            source=_github(_RUNC, "GHSA-c3xm-pvg7-gh7r"),
            fixed=("1.0.0~rc95",),
            packages=("1.0.0~rc93+ds1-5",),
        ),
        Advisory(
            cve="CVE-2023-27561",
            what="a shared volume raced over /proc, once more",
            source=_github(_RUNC, "GHSA-vpvm-3wq2-2wvm"),
            since="1.0.0~rc95",
            fixed=("1.1.5",),
        ),
        Advisory(
            cve="CVE-2023-28642",
            what="a link at /proc takes AppArmor and SELinux away",
            source=_github(_RUNC, "GHSA-g2j6-57v7-gm8c"),
            fixed=("1.1.5",),
        ),
        Advisory(
            cve="CVE-2024-21626",
            what="the host's folders through a leaked descriptor and the working directory",
            source=_github(_RUNC, "GHSA-xr7r-f8xq-vfvv"),
            since="1.0.0~rc93",
            fixed=("1.1.12",),
            packages=("1.1.5+ds1-1+deb12u1", "1.0.0~rc93+ds1-5+deb11u3"),
        ),
        Advisory(
            cve="CVE-2024-45310",
            what="empty files and folders on the host through a shared volume",
            source=_github(_RUNC, "GHSA-jfvp-7x6p-h2pv"),
            fixed=("1.1.14", "1.2.0~rc3"),
        ),
        Advisory(
            cve="CVE-2025-31133",
            what="the host's /proc through a replaced /dev/null, where paths are masked",
            source=_github(_RUNC, "GHSA-9493-h29p-rfm2"),
            fixed=_RUNC_2025,
        ),
        Advisory(
            cve="CVE-2025-52565",
            what="the host's /proc through the mount of /dev/console",
            source=_github(_RUNC, "GHSA-qw9x-cqr3-wc7r"),
            fixed=_RUNC_2025,
        ),
        Advisory(
            cve="CVE-2025-52881",
            what="writes to /proc led elsewhere by a raced mount",
            source=_github(_RUNC, "GHSA-cgrx-mc8f-2prm"),
            fixed=_RUNC_2025,
        ),
        Advisory(
            cve="CVE-2026-41579",
            what="an image whose /dev is a link: links and devices made on the host",
            source=_github(_RUNC, "GHSA-xjvp-4fhw-gc47"),
            fixed=("1.3.6", "1.4.3", "1.5.0~rc3"),
        ),
    ),
    # The three of runc's of 2025 do not work with crun: https://github.com/containers/crun/issues/1906
    "crun": (
        Advisory(
            cve="CVE-2019-18837",
            what="an image's links at its mount points lead to the host",
            source="https://nvd.nist.gov/vuln/detail/CVE-2019-18837",
            fixed=("0.10.5",),
        ),
        Advisory(
            cve="CVE-2025-24965",
            what="an image writes files of the host, by the krun handler",
            only_with="LIBKRUN",
            source=_github("containers/crun", "GHSA-f42g-r5jj-qh4j"),
            fixed=("1.20",),
        ),
        Advisory(
            cve="CVE-2026-88264",
            what="links in an image's /dev where the console and the masks are mounted (and CVE-2026-88265)",
            source="https://www.cve.org/CVERecord?id=CVE-2026-88264",
            fixed=("1.30",),
        ),
    ),
    "runsc": (
        Advisory(
            cve="CVE-2018-16359",
            what="files of the host by rename",
            source="https://nvd.nist.gov/vuln/detail/CVE-2018-16359",
            fixed=("20180823",),
        ),
    ),
    "containerd": (
        Advisory(
            cve="CVE-2020-15257",
            what="pods in the host's network command the shims",
            source=_github(_CONTAINERD, "GHSA-36xw-fx78-c5r4"),
            fixed=("1.3.9", "1.4.3"),
        ),
        Advisory(
            cve="CVE-2022-23648",
            what="an image's volumes copy files of the host",
            source=_github(_CONTAINERD, "GHSA-crp2-qrr5-8pq7"),
            fixed=("1.4.13", "1.5.10", "1.6.1"),
        ),
        Advisory(
            cve="CVE-2024-25621",
            what="users of the node reach into containerd's folders",
            source=_github(_CONTAINERD, "GHSA-pwhc-rpq9-4c8w"),
            fixed=("1.7.29", "2.0.7", "2.1.5", "2.2.0"),
        ),
        Advisory(
            cve="CVE-2024-40635",
            what="an image's user beyond 32 bits runs as root",
            source=_github(_CONTAINERD, "GHSA-265r-hfxg-fhmg"),
            fixed=("1.6.38", "1.7.27", "2.0.4"),
        ),
        Advisory(
            cve="CVE-2026-53488",
            what="a label of an image runs a program of the host as its logger",
            source="https://www.cve.org/CVERecord?id=CVE-2026-53488",
            fixed=("1.7.33", "2.0.10", "2.1.9", "2.2.5", "2.3.2"),
        ),
        Advisory(
            cve="CVE-2025-47290",
            what="an image changes files of the host while it is unpacked",
            source=_github(_CONTAINERD, "GHSA-cm76-qm8v-3j95"),
            since="2.1.0",
            fixed=("2.1.1",),
        ),
    ),
    "cri-o": (
        Advisory(
            cve="CVE-2022-0811",
            what="a pod's sysctl sets the kernel's core_pattern",
            source=_github("cri-o/cri-o", "GHSA-6x2m-w449-qwx7"),
            since="1.19.0",
            fixed=("1.19.6", "1.20.7", "1.21.6", "1.22.3", "1.23.2"),
        ),
        Advisory(
            cve="CVE-2024-5154",
            what="an image's link at a mount point leads to the host",
            source=_github("cri-o/cri-o", "GHSA-j9hf-98c3-wrm8"),
            since="1.28.6",
            fixed=("1.28.7", "1.29.5", "1.30.1"),
        ),
    ),
    "skopeo": (
        Advisory(
            cve="CVE-2024-3727",
            what="a registry's digest names files elsewhere on the host",
            source="https://nvd.nist.gov/vuln/detail/CVE-2024-3727",
            fixed=("1.14.4", "1.15.1"),
        ),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A program as it is on this machine: its makers' version, and that of the package that it came in, if any.

    `said`: all that it says of its version.
    `cures`: the numbers that the package's own changelog names: a distribution ports cures back without a new version.
    """

    program: str
    version: str
    package_version: str = ""
    said: str = ""
    cures: frozenset[str] = frozenset()

    @property
    def shown(self) -> str:
        return f"{self.program} {self.package_version or self.version}"


def open_holes(installed: Installed, table: dict[str, tuple[Advisory, ...]] = ADVISORIES) -> Iterator[Advisory]:
    """The published holes that this program still has."""
    for advisory in table.get(installed.program, ()):
        if (
            not advisory.concerns(installed.version)
            or advisory.cve in installed.cures
            or advisory.only_with not in installed.said
        ):
            continue
        if not installed.package_version or not advisory.cured_by_package(installed.package_version):
            yield advisory


def describe(installed: Installed, holes: Iterable[Advisory]) -> str:
    """One line for a log."""
    listed = "; ".join(f"{each.cve}: {each.what}" for each in holes)
    return f"{installed.shown} has published holes that are not closed: {listed}"
