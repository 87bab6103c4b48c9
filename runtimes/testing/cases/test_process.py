"""What a container's process finds: arguments, environment, user, capabilities, confinement."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.testing.subject import Pod, Subject

pytestmark = pytest.mark.asyncio

DEFAULT_CAPABILITIES = 0xA80425FB  # the fourteen that containers have by default, as bits


async def proc_status(
    runtime: Subject, config: cri.ContainerConfig, pod: Pod | None = None
) -> tuple[dict[str, str], cri.ContainerStatus]:
    """/proc/self/status of the container's own process, as a dictionary, and the container's status."""
    config.command[:] = ["/bin/cat", "/proc/self/status"]
    del config.args[:]
    status, text = await runtime.run_in(pod or await runtime.run_sandbox(), config)
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line), status


async def test_command_and_args(runtime: Subject) -> None:
    """`command` replaces the image's program and its arguments, `args` alone only the arguments."""
    pod = await runtime.run_sandbox()
    cases: Any = (
        (["/bin/echo", "a"], ["b", "c"], "a b c\n"),
        (["/bin/echo", "alone"], [], "alone\n"),
        ([], ["/bin/echo", "args"], "args\n"),
    )
    for number, (command, args, expected) in enumerate(cases):
        config = runtime.container_config(name=f"n{number}")
        config.command[:], config.args[:] = command, args
        assert (await runtime.run_in(pod, config))[1] == expected


async def test_environment_and_working_directory(runtime: Subject) -> None:
    """The container's variables win over the image's; PATH and HOSTNAME are there; $(VAR) is not the runtime's business."""
    pod = await runtime.run_sandbox()
    config = runtime.container_config("pwd; env")
    config.working_dir = "/var/tmp"
    for key, value in {"ONE": "1", "WORDS": "two words = fine", "UMLAUT": "ä", "RAW": "$(ONE)"}.items():
        config.envs.add(key=key, value=value.encode())
    _, text = await runtime.run_in(pod, config)
    first, *rest = text.splitlines()
    assert first == "/var/tmp"
    found = dict(line.split("=", 1) for line in rest)
    expected = {"ONE": "1", "WORDS": "two words = fine", "UMLAUT": "ä", "RAW": "$(ONE)", "FROM_IMAGE": "yes"}
    expected |= {"PATH": "/bin:/usr/bin", "HOSTNAME": "pod"}
    assert {key: found.get(key) for key in expected} == expected

    config = runtime.container_config('echo "$FROM_IMAGE"', name="wins")
    config.envs.add(key="FROM_IMAGE", value=b"no")
    assert (await runtime.run_in(pod, config))[1] == "no\n"


def _user(
    uid: int | None = None,
    gid: int | None = None,
    name: str = "",
    groups: Sequence[int] = (),
    policy: cri.SupplementalGroupsPolicy = cri.SupplementalGroupsPolicy.Merge,
) -> cri.LinuxContainerSecurityContext:
    security = cri.LinuxContainerSecurityContext(
        run_as_username=name, supplemental_groups=groups, supplemental_groups_policy=policy
    )
    if uid is not None:
        security.run_as_user.value = uid
    if gid is not None:
        security.run_as_group.value = gid
    return security


STRICT = cri.SupplementalGroupsPolicy.Strict


@pytest.mark.parametrize(
    ("security", "uid", "gid", "groups"),
    [
        (_user(), 0, 0, [0]),
        (_user(uid=1000), 1000, 1001, [1001, 2000, 2001]),
        (_user(uid=1000, gid=7), 1000, 7, [7, 2000, 2001]),
        (_user(uid=1000, groups=[9]), 1000, 1001, [1001, 9, 2000, 2001]),
        (_user(uid=1000, groups=[9], policy=STRICT), 1000, 1001, [1001, 9]),
        (_user(uid=4242), 4242, 0, [0]),
        (_user(uid=4242, gid=4343, groups=[5, 6]), 4242, 4343, [4343, 5, 6]),
        (_user(name="web"), 1000, 1001, [1001, 2000, 2001]),
    ],
    ids=["image", "uid", "uid+gid", "merge", "strict", "unknown", "all", "name"],
)
async def test_user_and_groups(
    runtime: Subject, security: cri.LinuxContainerSecurityContext, uid: int, gid: int, groups: list[int]
) -> None:
    """Who the process is, in its own eyes and in the status; groups of the image are merged unless the policy is strict."""
    pod, config = await runtime.run_sandbox(), runtime.container_config()
    config.linux.security_context.MergeFrom(security)
    if security.supplemental_groups_policy == STRICT and not runtime.can("group policies"):
        with pytest.raises(errors.NotSupported, match="supplemental"):
            await runtime.create(pod, config)
        return
    found, status = await proc_status(runtime, config, pod)
    assert (int(found["Uid"].split()[0]), int(found["Gid"].split()[0])) == (uid, gid)
    assert sorted(map(int, found["Groups"].split())) == sorted(groups)
    if runtime.can("users in the status"):
        user = status.user.linux
        assert (user.uid, user.gid, list(user.supplemental_groups)) == (uid, gid, groups)


async def test_a_group_without_a_user_is_refused(runtime: Subject) -> None:
    """run_as_group needs run_as_user, or an image that has a user."""
    runtime.needs("validation")
    pod, config = await runtime.run_sandbox(), runtime.container_config()
    config.linux.security_context.run_as_group.value = 5
    with runtime.refusal(errors.InvalidArgument, match="without user"):
        await runtime.create(pod, config)


@pytest.mark.parametrize(
    ("add", "drop", "ambient", "effective"),
    [
        ([], [], [], DEFAULT_CAPABILITIES),
        (["NET_ADMIN"], [], [], DEFAULT_CAPABILITIES | 1 << 12),
        (["CAP_SYS_TIME"], [], [], DEFAULT_CAPABILITIES | 1 << 25),
        ([], ["CHOWN"], [], DEFAULT_CAPABILITIES & ~1),
        ([], ["ALL"], [], 0),
        (["KILL"], ["ALL"], [], 1 << 5),
    ],
    ids=["default", "add", "add-prefixed", "drop", "drop-all", "drop-all-add-one"],
)
async def test_capabilities(
    runtime: Subject, add: list[str], drop: list[str], ambient: list[str], effective: int
) -> None:
    """The default set, and what is added to and dropped from it."""
    if any(name.startswith("CAP_") for name in (*add, *drop)):
        runtime.needs("capabilities with a prefix")
    pod, config = await runtime.run_sandbox(), runtime.container_config()
    capabilities = config.linux.security_context.capabilities
    capabilities.add_capabilities.extend(add)
    capabilities.drop_capabilities.extend(drop)
    found, _ = await proc_status(runtime, config, pod)
    assert {name: int(found[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")} == {
        "CapEff": effective,
        "CapPrm": effective,
        "CapBnd": effective,
    }
    assert int(found["CapInh"], 16) == 0


async def test_all_capabilities(runtime: Subject) -> None:
    """ALL is all that this host can give, without those dropped by name."""
    pod, config = await runtime.run_sandbox(), runtime.container_config()
    config.linux.security_context.capabilities.add_capabilities.append("ALL")
    config.linux.security_context.capabilities.drop_capabilities.append("SYS_TIME")
    found, _ = await proc_status(runtime, config, pod)
    effective = int(found["CapEff"], 16)
    assert effective & (1 << 21), "CAP_SYS_ADMIN"
    assert not effective & (1 << 25), "CAP_SYS_TIME"


async def test_ambient_capabilities_reach_a_plain_user(runtime: Subject) -> None:
    """A non-root user keeps an ambient capability, and has none without."""
    runtime.needs("ambient capabilities")
    pod = await runtime.run_sandbox()
    config = runtime.container_config()
    config.linux.security_context.run_as_user.value = 1000
    found, _ = await proc_status(runtime, config, pod)
    assert int(found["CapEff"], 16) == 0
    config = runtime.container_config(name="ambient")
    config.linux.security_context.run_as_user.value = 1000
    config.linux.security_context.capabilities.add_ambient_capabilities.append("NET_BIND_SERVICE")
    found, _ = await proc_status(runtime, config, pod)
    assert int(found["CapEff"], 16) == 1 << 10


async def test_no_new_privileges(runtime: Subject) -> None:
    """The flag is set when asked for, and only then."""
    runtime.needs("no_new_privs in proc")
    pod = await runtime.run_sandbox()
    for wanted in (True, False):
        config = runtime.container_config(name=f"n{wanted}")
        config.linux.security_context.no_new_privs = wanted
        found, _ = await proc_status(runtime, config, pod)
        assert found["NoNewPrivs"].strip() == str(int(wanted))


async def test_seccomp(runtime: Subject, tmp_path: Path) -> None:
    """RuntimeDefault filters, Unconfined does not, Localhost filters what its file says; a missing file is refused."""
    runtime.needs("seccomp in proc")
    pod = await runtime.run_sandbox()
    kinds = cri.SecurityProfile
    for kind, mode in ((kinds.RuntimeDefault, "2"), (kinds.Unconfined, "0")):
        config = runtime.container_config(name=f"k{kind}")
        config.linux.security_context.seccomp.profile_type = kind
        config.linux.security_context.seccomp.SetInParent()
        found, _ = await proc_status(runtime, config, pod)
        assert found["Seccomp"].strip() == mode
    profile = tmp_path / "no-chmod.json"
    profile.write_text(
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls":'
        ' [{"names": ["chmod", "fchmod", "fchmodat", "fchmodat2"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]}'
    )
    config = runtime.container_config("touch /tmp/x && chmod 600 /tmp/x", name="local")
    config.linux.security_context.seccomp.CopyFrom(
        cri.SecurityProfile(profile_type=kinds.Localhost, localhost_ref=str(profile))
    )
    status, text = await runtime.run_in(pod, config)
    assert (status.exit_code, "Operation not permitted" in text) == (1, True)
    config = runtime.container_config(name="missing")
    config.linux.security_context.seccomp.CopyFrom(
        cri.SecurityProfile(profile_type=kinds.Localhost, localhost_ref=str(tmp_path / "none.json"))
    )
    with pytest.raises(errors.RuntimeFault, match=r"none\.json"):
        await runtime.create(pod, config)


async def test_apparmor_is_refused_where_it_is_not(runtime: Subject) -> None:
    """A profile that this host cannot apply is an error, not a silent nothing; the default one is nothing there."""
    runtime.needs("validation")
    pod = await runtime.run_sandbox()
    config = runtime.container_config()
    config.linux.security_context.apparmor.CopyFrom(
        cri.SecurityProfile(profile_type=cri.SecurityProfile.Localhost, localhost_ref="my-profile")
    )
    with pytest.raises(errors.RuntimeFault, match=r"(?i)apparmor|my-profile"):
        await runtime.create(pod, config)
    if runtime.can("AppArmor's default without AppArmor"):
        config = runtime.container_config()
        config.linux.security_context.apparmor.profile_type = cri.SecurityProfile.RuntimeDefault
        config.linux.security_context.apparmor.SetInParent()
        await runtime.create(pod, config)


async def test_selinux_labels_where_there_is_no_selinux(runtime: Subject) -> None:
    """They change nothing on a host without SELinux: charts carry them for those that have it."""
    pod, config = await runtime.run_sandbox(), runtime.container_config("echo runs")
    config.linux.security_context.selinux_options.CopyFrom(
        cri.SELinuxOption(user="system_u", role="system_r", type="container_t", level="s0:c1,c2")
    )
    _, text = await runtime.run_in(pod, config)
    assert text == "runs\n"


async def test_a_read_only_root(runtime: Subject) -> None:
    """Nothing can be written to the image's files, while mounts stay writable."""
    pod = await runtime.run_sandbox()
    config = runtime.container_config("touch /x 2>/dev/null; echo $?; touch /dev/shm/x && echo written")
    config.linux.security_context.readonly_rootfs = True
    _, text = await runtime.run_in(pod, config)
    assert text.splitlines()[-2:] == ["1", "written"]


async def test_masked_and_read_only_paths(runtime: Subject, tmp_path: Path) -> None:
    """Masked paths are empty, read-only paths cannot be written; with empty lists neither."""
    runtime.needs("host files in proc")
    pod = await runtime.run_sandbox()
    script = (
        "wc -c < /proc/keys; ls /sys/firmware | wc -l; (echo 1 > /proc/sys/kernel/shm_rmid_forced) 2>&1 && echo written"
    )
    _, text = await runtime.run_in(pod, runtime.container_config(script))
    assert text.splitlines()[:2] == ["0", "0"]
    assert "Read-only file system" in text.splitlines()[2]
    config = runtime.container_config("cat /proc/keys > /dev/null && cat /proc/timer_list | wc -c", name="unmasked")
    del config.linux.security_context.masked_paths[:]
    del config.linux.security_context.readonly_paths[:]
    status, text = await runtime.run_in(pod, config)
    assert status.exit_code == 0
    assert int(text) > 0


async def test_a_privileged_container(runtime: Subject) -> None:
    """All capabilities, the host's devices, no seccomp filter, nothing masked, /sys writable."""
    runtime.needs("devices")
    config = runtime.sandbox_config()
    config.linux.security_context.privileged = True
    pod = await runtime.run_sandbox(config)
    container = runtime.container_config(
        "ls /dev/kmsg; cat /proc/self/status; mount | grep ' /sys '; wc -c < /proc/timer_list"
    )
    container.linux.security_context.privileged = True
    container.linux.security_context.seccomp.profile_type = cri.SecurityProfile.RuntimeDefault
    container.linux.security_context.seccomp.SetInParent()
    _, text = await runtime.run_in(pod, container)
    lines = text.splitlines()
    found = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert lines[0] == "/dev/kmsg"
    assert int(found["CapEff"], 16) & (1 << 21)
    assert found["Seccomp"].strip() == "0"
    if runtime.can("a writable /sys"):
        assert "(rw," in next(line for line in lines if " /sys " in line)
    assert int(lines[-1]) > 0


@pytest.mark.parametrize("shared_pid", [False, True])
async def test_privileged_beside_unprivileged(runtime: Subject, shared_pid: bool) -> None:
    """/sys is writable for the one and read-only for the others, whoever comes first, and again after a restart."""
    runtime.needs("devices")
    runtime.needs("a writable /sys")
    config = runtime.sandbox_config()
    config.linux.security_context.privileged = True
    if shared_pid:
        config.linux.security_context.namespace_options.pid = cri.POD
    pod = await runtime.run_sandbox(config)

    async def launched(name: str, *, privileged: bool) -> str:
        wanted = runtime.container_config("trap 'exit 0' TERM; while :; do sleep 0.1; done", name=name)
        security = wanted.linux.security_context
        security.privileged = privileged
        if shared_pid:
            security.namespace_options.pid = cri.POD
        if privileged:
            security.ClearField("masked_paths")
            security.ClearField("readonly_paths")
        return await runtime.launch(pod, wanted)

    async def writable(container_id: str) -> bool:
        length = "/sys/class/net/lo/tx_queue_len"
        done = await runtime.exec(container_id, "sh", "-c", f"cat {length} && echo 1007 > {length} && cat {length}")
        assert done.stdout.splitlines()[0].isdigit()
        return (done.exit_code, done.stdout.splitlines()[-1]) == (0, b"1007")

    first = await launched("registrar", privileged=False)
    driver = await launched("driver", privileged=True)
    second = await launched("probe", privileged=False)
    assert [await writable(container_id) for container_id in (first, driver, second)] == [False, True, False]
    await runtime.service.stop_container(cri.StopContainerRequest(container_id=first, timeout=10))
    again = await launched("registrar-again", privileged=False)
    assert [await writable(container_id) for container_id in (again, driver, second)] == [False, True, False]
    assert await runtime.sh(again, "ls /sys/firmware") == "", "what is masked stays so"


async def test_devices(runtime: Subject) -> None:
    """A device appears where it was asked for, with the permissions asked for."""
    runtime.needs("devices")
    pod = await runtime.run_sandbox()
    config = runtime.container_config(
        "ls -l /dev/my-null; echo x > /dev/my-null && echo written; cat /dev/my-null && echo read"
    )
    config.devices.add(host_path="/dev/null", container_path="/dev/my-null", permissions="rw")
    _, text = await runtime.run_in(pod, config)
    assert text.startswith("crw")
    assert text.splitlines()[1:] == ["written", "read"]
    missing = runtime.container_config(name="missing")
    missing.devices.add(host_path="/dev/no-such-device", container_path="/dev/x")
    with pytest.raises(errors.RuntimeFault, match="no-such-device"):
        await runtime.create(pod, missing)


async def test_oom_score_and_rlimits_are_set(runtime: Subject) -> None:
    """oom_score_adj as asked for."""
    runtime.needs("host files in proc")
    pod, config = await runtime.run_sandbox(), runtime.container_config("cat /proc/self/oom_score_adj")
    config.linux.resources.oom_score_adj = 987
    assert (await runtime.run_in(pod, config))[1] == "987\n"
