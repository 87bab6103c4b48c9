from pathlib import Path

import pytest

from runtimes.oci.images.platforms import Host, Place, this_host

AMD64 = Host(architecture="amd64", variants=("v3", "v2", "v1"))
ARM64 = Host(architecture="arm64", variants=("v8",))
ARM_V6 = Host(architecture="arm", variants=("v6", "v5"))
RISCV = Host(architecture="riscv64")


@pytest.mark.parametrize(
    ("host", "place", "rank"),
    [
        (AMD64, ("linux", "amd64", "v3"), 0),
        (AMD64, ("linux", "amd64", "v2"), 1),
        (AMD64, ("linux", "amd64", ""), 2),
        (AMD64, ("Linux", "x86_64", "1"), 2),
        (AMD64, ("linux", "amd64", "v4"), None),
        (AMD64, ("windows", "amd64", ""), None),
        (AMD64, ("linux", "386", ""), None),
        (AMD64, ("unknown", "unknown", ""), None),
        (AMD64, ("", "", ""), 2),
        (ARM64, ("linux", "arm64", ""), 0),
        (ARM64, ("linux", "aarch64", "8"), 0),
        (ARM64, ("linux", "arm64", "v9"), None),
        (ARM64, ("linux", "arm", "v7"), None),
        (ARM_V6, ("linux", "arm", "v5"), 1),
        (ARM_V6, ("linux", "armel", ""), 0),
        (ARM_V6, ("linux", "arm", ""), None),  # means v7
        (RISCV, ("linux", "riscv64", "rva22u64"), 0),
    ],
)
def test_rank(host: Host, place: Place, rank: int | None) -> None:
    """What runs here, and how good it is: the newest variant that the processor has is best."""
    assert host.rank(place) == rank


BASE = "flags\t\t: fpu lm pni ssse3 cx16 sse4_1 sse4_2 popcnt lahf_lm"
V3 = f"{BASE} avx avx2 bmi1 bmi2 f16c fma abm movbe xsave"


@pytest.mark.parametrize(
    ("machine", "cpuinfo", "host"),
    [
        ("x86_64", "flags\t\t: fpu lm", Host(architecture="amd64", variants=("v1",))),
        ("x86_64", BASE, Host(architecture="amd64", variants=("v2", "v1"))),
        ("x86_64", V3, Host(architecture="amd64", variants=("v3", "v2", "v1"))),
        ("x86_64", V3.replace("bmi1 ", ""), Host(architecture="amd64", variants=("v2", "v1"))),
        ("aarch64", "", ARM64),
        ("armv6l", "", ARM_V6),
        ("riscv64", "", RISCV),
    ],
)
def test_this_host(tmp_path: Path, machine: str, cpuinfo: str, host: Host) -> None:
    """The machine's architecture in GOARCH's words, with its variants, best first."""
    file = tmp_path / "cpuinfo"
    file.write_text(f"processor\t: 0\n{cpuinfo}\n\nprocessor\t: 1\n{V3}\n")
    assert this_host(machine, file) == host
