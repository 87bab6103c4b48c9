"""protectKernelDefaults: compared and refused with it, set without it."""

from pathlib import Path

import pytest

from nodeagent.node.kernel_defaults import KERNEL_DEFAULTS, UnprotectedKernel, deviations, hold


@pytest.fixture
def sysctls(tmp_path: Path) -> Path:
    """As a kubelet wants them."""
    for name, value in KERNEL_DEFAULTS.items():
        path = tmp_path / name.replace(".", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    return tmp_path


def values(sysctls: Path) -> dict[str, int]:
    return {name: int((sysctls / name.replace(".", "/")).read_text()) for name in KERNEL_DEFAULTS}


def test_the_values_of_a_kubelet() -> None:
    """Six settings (docs/facts/node-resources.md 1.5)."""
    assert KERNEL_DEFAULTS == {
        "vm.overcommit_memory": 1,
        "vm.panic_on_oom": 0,
        "kernel.panic": 10,
        "kernel.panic_on_oops": 1,
        "kernel.keys.root_maxkeys": 1000000,
        "kernel.keys.root_maxbytes": 25000000,
    }


def test_a_kernel_that_is_as_it_should_be(sysctls: Path) -> None:
    """Neither way does anything."""
    hold(protect=True, sysctls=sysctls)
    assert deviations(sysctls) == []


def test_protected_kernels_are_compared_and_left_alone(sysctls: Path) -> None:
    """One error in upstream's words with every difference, the commands that mend them, and nothing written."""
    (sysctls / "kernel/panic").write_text("0\n")
    (sysctls / "vm/panic_on_oom").write_text("2\n")
    before = values(sysctls)
    with pytest.raises(UnprotectedKernel) as caught:
        hold(protect=True, sysctls=sysctls)
    assert str(caught.value) == (
        "protectKernelDefaults: invalid kernel flag: vm.panic_on_oom, expected value: 0, actual value: 2; "
        "invalid kernel flag: kernel.panic, expected value: 10, actual value: 0 (as root: sysctl -w vm.panic_on_oom=0 && "
        "sysctl -w kernel.panic=10; or unset protectKernelDefaults)"
    )
    assert values(sysctls) == before


def test_a_setting_that_cannot_be_read_is_no_match(sysctls: Path) -> None:
    """Missing or damaged: a protected kernel is refused."""
    (sysctls / "kernel/panic").unlink()
    (sysctls / "kernel/panic_on_oops").write_text("x\n")
    with pytest.raises(
        UnprotectedKernel, match=r"kernel\.panic, expected value: 10, actual value: No such file"
    ) as caught:
        hold(protect=True, sysctls=sysctls)
    assert "kernel.panic_on_oops, expected value: 1, actual value: invalid literal" in str(caught.value)


def test_other_kernels_are_set(sysctls: Path) -> None:
    """Without it all are set at start."""
    for name in KERNEL_DEFAULTS:
        (sysctls / name.replace(".", "/")).write_text("7\n")
    hold(protect=False, sysctls=sysctls)
    assert values(sysctls) == KERNEL_DEFAULTS


def test_what_cannot_be_set_is_told(sysctls: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In a container, say: a warning a setting, the others are set, and the node starts."""
    (sysctls / "kernel/panic").unlink()
    (sysctls / "kernel/panic").mkdir()
    (sysctls / "vm/overcommit_memory").write_text("0\n")
    hold(protect=False, sysctls=sysctls)
    assert (sysctls / "vm/overcommit_memory").read_text() == "1\n"
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warning.startswith("invalid kernel flag: kernel.panic, expected value: 10") and "cannot be set" in warning
