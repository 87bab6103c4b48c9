"""The parts of config.json, each from its part of the request."""

import json
from pathlib import Path

import msgspec
import pytest

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.oci.config import OCIRuntimeConfig, Rlimit
from runtimes.oci.hostfacts import CAPABILITIES, HostFacts
from runtimes.oci.images.contract import ImageConfig
from runtimes.oci.spec import cdi, devices, mac, seccomp
from runtimes.oci.spec.bundle import BundleInputs, JoinedNamespaces, arguments, build, cgroup_v1_paths, environment
from runtimes.oci.spec.capabilities import DEFAULT, container_capabilities
from runtimes.oci.spec.devices import container_devices
from runtimes.oci.spec.mounts import SandboxFiles, container_mounts
from runtimes.oci.spec.resources import CgroupFeatures, linux_resources, merge
from runtimes.oci.users import User

HOST = HostFacts(
    capabilities=frozenset(CAPABILITIES),
    lowest_oom_score_adj=-1000,
    apparmor=False,
    selinux=False,
    seccomp=True,
    kernel=(6, 1),
)
V1 = CgroupFeatures(unified=False, swap=True, huge_pages=frozenset({"2MB"}))
V2 = CgroupFeatures(unified=True, swap=False, huge_pages=frozenset())


# process


@pytest.mark.parametrize(
    ("command", "args", "expected"),
    [
        ([], [], ["entry", "default"]),
        ([], ["given"], ["entry", "given"]),
        (["mine"], [], ["mine"]),
        (["mine"], ["given"], ["mine", "given"]),
    ],
)
def test_arguments(command, args, expected):
    """`command` replaces entrypoint and its arguments, `args` only the arguments."""
    image = ImageConfig(entrypoint=("entry",), cmd=("default",))
    assert arguments(cri.ContainerConfig(command=command, args=args), image) == expected


def test_no_arguments_at_all():
    """Nothing to run is the request's fault."""
    with pytest.raises(errors.InvalidArgument, match="no command specified"):
        arguments(cri.ContainerConfig(), ImageConfig())


def test_environment():
    """The container's wins over the image's, which wins over the defaults; every name once."""
    config = cri.ContainerConfig(tty=True)
    for key, value in (("A", b"config"), ("EMPTY", b""), ("A", b"last"), ("EQ", b"a=b")):
        config.envs.add(key=key, value=value)
    image = ImageConfig(env=("PATH=/image", "A=image", "B=image", "BARE"))
    assert environment(config, image, "pod", "/home/me") == [
        "PATH=/image",
        "HOSTNAME=pod",
        "TERM=xterm",
        "A=last",
        "B=image",
        "BARE=",
        "EMPTY=",
        "EQ=a=b",
        "HOME=/home/me",
    ]


def capability_request(add=(), drop=(), ambient=(), privileged=False):
    security = cri.LinuxContainerSecurityContext(privileged=privileged)
    security.capabilities.add_capabilities.extend(add)
    security.capabilities.drop_capabilities.extend(drop)
    security.capabilities.add_ambient_capabilities.extend(ambient)
    return security


@pytest.mark.parametrize(
    ("security", "bounding"),
    [
        (capability_request(), DEFAULT),
        (capability_request(add=["net_admin"]), DEFAULT | {"CAP_NET_ADMIN"}),
        (capability_request(drop=["CAP_CHOWN"]), DEFAULT - {"CAP_CHOWN"}),
        (capability_request(drop=["ALL"]), frozenset()),
        (capability_request(add=["KILL"], drop=["all"]), {"CAP_KILL"}),
        (capability_request(add=["ALL"]), frozenset(CAPABILITIES)),
        (capability_request(add=["ALL"], drop=["SYS_TIME"]), frozenset(CAPABILITIES) - {"CAP_SYS_TIME"}),
        (capability_request(add=["CHOWN"], drop=["CHOWN"]), DEFAULT - {"CAP_CHOWN"}),
        (capability_request(privileged=True, drop=["ALL"]), frozenset(CAPABILITIES)),
    ],
)
def test_capabilities(security, bounding):
    """Default, all or none of them, plus those added, less those dropped."""
    assert container_capabilities(security, 0, HOST) == {
        "bounding": sorted(bounding),
        "effective": sorted(bounding),
        "permitted": sorted(bounding),
        "inheritable": [],
        "ambient": [],
    }


def test_capabilities_of_a_plain_user():
    """Other users than root have the ambient ones only, and can get no more than the bounding set."""
    found = container_capabilities(capability_request(ambient=["NET_BIND_SERVICE"]), 1000, HOST)
    assert found["bounding"] == sorted(DEFAULT)
    for name in ("effective", "permitted", "inheritable", "ambient"):
        assert found[name] == ["CAP_NET_BIND_SERVICE"]


def test_capabilities_that_the_host_lacks():
    """What the agent has not, it cannot give: left out, not an error. What no kernel knows is one."""
    host = HostFacts(
        capabilities=frozenset(CAPABILITIES) - {"CAP_SYS_RESOURCE"},
        lowest_oom_score_adj=0,
        apparmor=False,
        selinux=False,
        seccomp=True,
        kernel=(6, 1),
    )
    found = container_capabilities(capability_request(add=["SYS_RESOURCE"]), 0, host)
    assert found["bounding"] == sorted(DEFAULT)
    assert host.clamp_oom_score_adj(-998) == 0
    assert host.clamp_oom_score_adj(500) == 500
    with pytest.raises(errors.InvalidArgument, match="CAP_MAGIC"):
        container_capabilities(capability_request(add=["MAGIC"]), 0, HOST)


def test_rlimits_are_clamped_where_they_cannot_be_raised(monkeypatch):
    """Not above the agent's own hard limit, unless it may raise it."""
    import resource

    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 1000))
    poor = HostFacts(
        capabilities=frozenset(), lowest_oom_score_adj=0, apparmor=False, selinux=False, seccomp=True, kernel=(6, 1)
    )
    assert poor.clamp_rlimit(Rlimit(name="NOFILE", soft=2000, hard=4000)) == Rlimit(name="NOFILE", soft=1000, hard=1000)
    assert poor.clamp_rlimit(Rlimit(name="NOFILE", soft=5, hard=500)) == Rlimit(name="NOFILE", soft=5, hard=500)
    assert HOST.clamp_rlimit(Rlimit(name="NOFILE", soft=5, hard=4000)) == Rlimit(name="NOFILE", soft=5, hard=4000)


# mandatory access control


def test_apparmor_and_selinux(caplog):
    """Nothing, default and unconfined are fine without AppArmor, and a named profile is refused; SELinux options mean nothing
    without SELinux, which is said once.
    """
    security = cri.LinuxContainerSecurityContext
    profile = cri.SecurityProfile
    for context in (
        security(),
        security(apparmor_profile="runtime/default"),
        security(apparmor_profile="unconfined"),
        security(apparmor=profile(profile_type=profile.RuntimeDefault)),
        security(privileged=True, apparmor_profile="localhost/mine"),
    ):
        assert mac.apparmor_profile(context, "", HOST) == ""
    for context in (
        security(apparmor_profile="localhost/mine"),
        security(apparmor=profile(profile_type=profile.Localhost, localhost_ref="mine")),
    ):
        with pytest.raises(errors.NotSupported, match="mine"):
            mac.apparmor_profile(context, "", HOST)
    assert mac.selinux_label(security(), HOST) == ""
    labelled = security(selinux_options=cri.SELinuxOption(type="spc_t", level="s0:c1"))
    mac._say_unlabelled.cache_clear()
    assert [mac.selinux_label(labelled, HOST) for _ in range(2)] == ["", ""]
    assert [record.getMessage() for record in caplog.records] == [
        "SELinux options are ignored: this host has no SELinux"
    ]
    selinux = HostFacts(
        capabilities=frozenset(), lowest_oom_score_adj=0, apparmor=False, selinux=True, seccomp=True, kernel=(6, 1)
    )
    assert mac.selinux_label(labelled, selinux) == "system_u:system_r:spc_t:s0:c1"


# seccomp

PROFILE = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 38,
    "archMap": [
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": None},
    ],
    "syscalls": [
        {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"names": ["mount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64"]}},
        {"names": ["old"], "action": "SCMP_ACT_ALLOW", "excludes": {"minKernel": "5.0"}},
        {"names": ["new"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "5.10"}},
        {"name": "one", "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]},
    ],
}


@pytest.mark.parametrize(
    ("machine", "capabilities", "kernel", "architectures", "names"),
    [
        ("x86_64", set(), (6, 1), ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], "read mount:1 arch_prctl new one"),
        ("x86_64", {"CAP_SYS_ADMIN"}, (4, 19), ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], "read mount arch_prctl old one"),
        ("aarch64", set(), (6, 1), ["SCMP_ARCH_AARCH64"], "read mount:1 new one"),
    ],
)
def test_seccomp_conditions(machine, capabilities, kernel, architectures, names):
    """Architecture, capabilities and kernel are decided; what is left is the runtime's format."""
    profile = msgspec.convert(PROFILE, seccomp._Profile)
    found = seccomp.resolve(profile, frozenset(capabilities), kernel, machine)
    assert (found["defaultAction"], found["defaultErrnoRet"]) == ("SCMP_ACT_ERRNO", 38)
    assert found["architectures"] == architectures
    said = [rule["names"][0] + (f":{rule['errnoRet']}" if "errnoRet" in rule else "") for rule in found["syscalls"]]
    assert said == names.split()
    assert found["syscalls"][-1]["args"] == [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]


def test_seccomp_profiles(tmp_path):
    """Which file is meant, by the new field and by the old text; what is missing or broken is named."""
    default, mine = tmp_path / "default.json", tmp_path / "mine.json"
    default.write_text(json.dumps({"defaultAction": "DEFAULT"}))
    mine.write_text(json.dumps({"defaultAction": "MINE"}))
    context, profile = cri.LinuxContainerSecurityContext, cri.SecurityProfile

    def action(security):
        found = seccomp.container_seccomp(security, frozenset(), default, HOST)
        return None if found is None else json.loads(bytes(found))["defaultAction"]

    assert action(context()) is None
    assert action(context(seccomp=profile(profile_type=profile.RuntimeDefault))) == "DEFAULT"
    assert action(context(seccomp=profile(profile_type=profile.Unconfined))) is None
    assert action(context(seccomp=profile(profile_type=profile.Localhost, localhost_ref=str(mine)))) == "MINE"
    assert action(context(seccomp_profile_path="runtime/default")) == "DEFAULT"
    assert action(context(seccomp_profile_path="unconfined")) is None
    assert action(context(seccomp_profile_path=f"localhost/{mine}")) == "MINE"
    assert action(context(privileged=True, seccomp_profile_path="runtime/default")) is None
    mine.write_text("{}")
    for text, message in (
        ("localhost/relative.json", "not an absolute path"),
        (f"localhost/{tmp_path}/none.json", "none.json"),
        (f"localhost/{mine}", "not valid"),
        ("nonsense", "nonsense"),
    ):
        with pytest.raises(errors.InvalidArgument, match=message):
            action(context(seccomp_profile_path=text))


# resources


@pytest.mark.parametrize(
    ("features", "resources", "expected"),
    [
        (V1, cri.LinuxContainerResources(), {}),
        (
            V1,
            cri.LinuxContainerResources(cpu_shares=512, cpu_quota=50000, cpu_period=100000, cpuset_cpus="0-1"),
            {"cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0-1"}},
        ),
        (V1, cri.LinuxContainerResources(cpu_quota=-1), {"cpu": {"quota": -1}}),
        (V1, cri.LinuxContainerResources(memory_limit_in_bytes=100), {"memory": {"limit": 100, "swap": 100}}),
        (V2, cri.LinuxContainerResources(memory_limit_in_bytes=100), {"memory": {"limit": 100}}),
        (
            V1,
            cri.LinuxContainerResources(memory_limit_in_bytes=100, memory_swap_limit_in_bytes=150),
            {"memory": {"limit": 100, "swap": 150}},
        ),
        (
            V1,
            cri.LinuxContainerResources(
                hugepage_limits=[
                    cri.HugepageLimit(page_size="2MB", limit=0),
                    cri.HugepageLimit(page_size="1GB", limit=5),
                ]
            ),
            {"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]},
        ),
        (V2, cri.LinuxContainerResources(unified={"memory.high": "5"}), {"unified": {"memory.high": "5"}}),
        (V1, cri.LinuxContainerResources(unified={"memory.high": "5"}), {}),
    ],
)
def test_linux_resources(features, resources, expected):
    """Zero is "not said"; what this host has no file for is left out."""
    assert linux_resources(resources, features) == expected


def test_merging_an_update():
    """What is said replaces, what is not stays."""
    before = cri.LinuxContainerResources(cpu_shares=1, cpu_quota=2, memory_limit_in_bytes=3, unified={"a": "1"})
    change = cri.LinuxContainerResources(cpu_quota=-1, unified={"b": "2"})
    assert merge(before, change) == cri.LinuxContainerResources(
        cpu_shares=1, cpu_quota=-1, memory_limit_in_bytes=3, unified={"a": "1", "b": "2"}
    )
    assert before.cpu_quota == 2


# mounts and devices


def plan(mounts, declared=None, **changes):
    options = {
        "privileged": False,
        "read_only_root": False,
        "recursive_read_only": True,
        "read_only_superblocks": False,
    } | changes
    files = SandboxFiles(files={"/etc/hosts": Path("/pod/hosts")}, shm=Path("/pod/shm"))
    return container_mounts(mounts, files, {}, declared or {}, **options)


def test_mounts(tmp_path):
    """Kernel file systems, the sandbox's files, then the request's, parents first, the request's in place of the others."""
    (tmp_path / "deep").mkdir()
    found = plan(
        [
            cri.Mount(container_path="/a/b/c", host_path=str(tmp_path / "deep"), readonly=True),
            cri.Mount(container_path="/a", host_path=str(tmp_path)),
            cri.Mount(container_path="/etc/hosts", host_path=str(tmp_path / "made")),
            cri.Mount(container_path="/sys", host_path=str(tmp_path)),
        ]
    )
    assert [mount["destination"] for mount in found.mounts] == [
        "/proc",
        "/dev",
        "/dev/pts",
        "/sys/fs/cgroup",
        "/dev/mqueue",
        "/dev/shm",
        "/a",
        "/sys",
        "/etc/hosts",
        "/a/b/c",
    ]
    assert found.mounts[-1] == {
        "source": str(tmp_path / "deep"),
        "destination": "/a/b/c",
        "type": "bind",
        "options": ["rbind", "rprivate", "ro"],
    }
    assert (tmp_path / "made").is_dir(), "a missing source is made"
    assert found.root_propagation == ""


def test_mounts_of_a_privileged_container():
    """/sys and the cgroups are writable."""
    options = {mount["destination"]: mount["options"] for mount in plan([], privileged=True).mounts}
    assert options["/sys"][-1] == "rw"
    assert options["/sys/fs/cgroup"][-1] == "rw"


@pytest.mark.parametrize(
    ("changes", "sys_mode", "cgroup_mode", "readonly_paths"),
    [
        ({}, "ro", "ro", ()),
        ({"read_only_superblocks": True}, "rw", "ro", ("/sys",)),
        ({"read_only_superblocks": True, "privileged": True}, "rw", "rw", ()),
    ],
)
def test_read_only_sys(changes, sys_mode, cgroup_mode, readonly_paths):
    """Where mounting read-only would do it to the pod's one sysfs, it is mounted writable and the mount made read-only."""
    found = plan([], **changes)
    options = {mount["destination"]: mount["options"] for mount in found.mounts}
    assert (options["/sys"][-1], options["/sys/fs/cgroup"][-1], found.readonly_paths) == (
        sys_mode,
        cgroup_mode,
        readonly_paths,
    )


def test_a_sys_of_the_requests_own_stays_as_it_asks(tmp_path):
    """A mount of the pod on /sys is not made read-only with it."""
    found = plan([cri.Mount(container_path="/sys/", host_path=str(tmp_path))], read_only_superblocks=True)
    assert found.readonly_paths == ()


def test_volumes_of_the_image(tmp_path):
    """Writable, where the pod mounts nothing itself; what the pod mounts in them comes after."""
    found = plan(
        [cri.Mount(container_path="/data/in", host_path=str(tmp_path)), cri.Mount(container_path="/b", host_path="/")],
        {"/data": Path("/own/0"), "/b": Path("/own/1")},
        read_only_root=True,
    )
    assert [(mount["destination"], mount["options"]) for mount in found.mounts[-3:]] == [
        ("/data", ["rbind", "rprivate", "rw"]),
        ("/b", ["rbind", "rprivate", "rw"]),
        ("/data/in", ["rbind", "rprivate", "rw"]),
    ]
    assert [mount["source"] for mount in found.mounts[-3:]] == ["/own/0", "/", str(tmp_path)]


def test_an_image_volume(tmp_path):
    """Read-only, whatever the request says; its programs run; device nodes in it do not work."""
    mount = cri.Mount(container_path="/x", image=cri.ImageSpec(image="i"))
    files = SandboxFiles(files={}, shm=Path("/pod/shm"))
    options = {"privileged": False, "read_only_root": False, "recursive_read_only": True}
    found = container_mounts([mount], files, {0: tmp_path}, {}, read_only_superblocks=True, **options)
    assert found.mounts[-1]["options"] == ["rbind", "rprivate", "ro", "nodev"]


@pytest.mark.parametrize(
    ("mount", "message"),
    [
        (cri.Mount(container_path="relative", host_path="/"), "relative"),
        (cri.Mount(container_path="/x", host_path="relative"), "relative"),
        (cri.Mount(container_path="/x", host_path="/", recursive_read_only=True), "needs readonly"),
        (
            cri.Mount(
                container_path="/x",
                host_path="/",
                readonly=True,
                recursive_read_only=True,
                propagation=cri.PROPAGATION_HOST_TO_CONTAINER,
            ),
            "needs private",
        ),
    ],
)
def test_bad_mounts(mount, message):
    """Each is refused with the field that is wrong."""
    with pytest.raises(errors.InvalidArgument, match=message):
        plan([mount])


def test_recursive_read_only_where_it_is_missing():
    """A runtime without it refuses, so that nobody relies on it."""
    mount = cri.Mount(container_path="/x", host_path="/", readonly=True, recursive_read_only=True)
    assert plan([mount]).mounts[-1]["options"] == ["rbind", "rprivate", "rro"]
    with pytest.raises(errors.NotSupported):
        plan([mount], recursive_read_only=False)


def test_a_runtime_that_has_no_block_devices(monkeypatch):
    """It would leave them out, and the container would write into a file of its own: it is refused. Others it has."""
    null = [cri.Device(container_path="/dev/mine", host_path="/dev/null")]
    assert len(container_devices(null, privileged=False, block_devices=False)[0]) == 1
    monkeypatch.setattr(devices, "device_node", lambda path, name: {"path": name, "type": "b", "major": 7, "minor": 0})
    assert len(container_devices(null, privileged=False)[0]) == 1
    with pytest.raises(errors.NotSupported, match="/dev/mine: this runtime gives containers no block devices"):
        container_devices(null, privileged=False, block_devices=False)


def test_devices(tmp_path):
    """A device with its numbers and a rule; nothing else is allowed, unless the container is privileged."""
    devices, rules = container_devices(
        [cri.Device(container_path="/dev/mine", host_path="/dev/null", permissions="r")], privileged=False
    )
    assert [(entry["path"], entry["type"], entry["major"], entry["minor"]) for entry in devices] == [
        ("/dev/mine", "c", 1, 3)
    ]
    assert rules == [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "r"},
    ]
    assert container_devices([], privileged=True)[1] == [{"allow": True, "access": "rwm"}]
    for bad, message in (
        (cri.Device(container_path="/x", host_path="/dev/none-such"), "none-such"),
        (cri.Device(container_path="/x", host_path="/etc/passwd"), "is not a device"),
        (cri.Device(container_path="/x", host_path="/dev/null", permissions="rx"), "rx"),
    ):
        with pytest.raises(errors.InvalidArgument, match=message):
            container_devices([bad], privileged=False)


# CDI


def test_cdi(tmp_path):
    """A device's edits and its file's, once; later folders win; an unknown name is refused."""
    low, high = tmp_path / "etc", tmp_path / "run"
    low.mkdir()
    high.mkdir()
    (low / "a.json").write_text(json.dumps({"cdiVersion": "0.6.0", "kind": "x.com/gpu", "devices": [{"name": "0"}]}))
    (low / "broken.json").write_text("{")
    (high / "b.yaml").write_text(
        """
cdiVersion: 0.6.0
kind: x.com/gpu
containerEdits: {env: [COMMON=1]}
devices:
- name: "0"
  containerEdits:
    env: [GPU=0]
    deviceNodes: [{path: /dev/gpu0, hostPath: /dev/null, permissions: rw}]
    mounts: [{hostPath: /lib/gpu, containerPath: /gpu, options: [ro, bind]}]
    hooks: [{hookName: createContainer, path: /bin/hook, args: [hook, "1"]}]
- name: "1"
  containerEdits: {env: [GPU=1], additionalGids: [44]}
"""
    )

    def spec():
        return {
            "process": {"env": ["GPU=none", "A=1"], "user": {"additionalGids": [0]}},
            "mounts": [],
            "linux": {"resources": {"devices": []}, "devices": []},
        }

    found = spec()
    cdi.inject(found, ["x.com/gpu=0", "x.com/gpu=1"], (low, tmp_path / "absent", high))
    assert found["process"] == {"env": ["A=1", "COMMON=1", "GPU=1"], "user": {"additionalGids": [0, 44]}}
    assert found["mounts"] == [{"source": "/lib/gpu", "destination": "/gpu", "type": "bind", "options": ["ro", "bind"]}]
    assert found["hooks"] == {"createContainer": [{"path": "/bin/hook", "args": ["hook", "1"]}]}
    assert [(entry["path"], entry["major"]) for entry in found["linux"]["devices"]] == [("/dev/gpu0", 1)]
    assert found["linux"]["resources"]["devices"] == [
        {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rw"}
    ]
    with pytest.raises(errors.InvalidArgument, match=r"unresolvable CDI devices x\.com/gpu=9"):
        cdi.inject(spec(), ["x.com/gpu=9"], (low, high))


# all of it


def test_a_whole_bundle(tmp_path):
    """The document for a small container, from the first key to the last."""
    config = cri.ContainerConfig(command=["/bin/true"], annotations={"mine": "1"}, working_dir="/work")
    config.linux.security_context.masked_paths.append("/proc/keys")
    config.linux.security_context.readonly_paths.append("/proc/sys")
    config.linux.resources.oom_score_adj = 5
    inputs = BundleInputs(
        config=config,
        image=ImageConfig(env=("A=1",)),
        rootfs=Path("/rootfs"),
        user=User(uid=0, gid=0, groups=(0, 7), home="/root"),
        hostname="pod",
        namespaces=JoinedNamespaces(net=Path("/ns/net"), ipc=Path("/ns/ipc"), uts=None, pid=""),
        sandbox_files=SandboxFiles(files={}, shm=Path("/shm")),
        sources={},
        declared={},
        cgroups_path="/parent/id",
        annotations={"io.kubernetes.cri.container-type": "container"},
        runtime=OCIRuntimeConfig(
            name="runc",
            path="/usr/sbin/runc",
            state_dir=tmp_path,
            run_dir=tmp_path,
            rlimits=(Rlimit(name="NOFILE", soft=1, hard=2),),
        ),
        host=HOST,
        cgroups=V1,
        recursive_read_only=True,
        read_only_superblocks=True,
        block_devices=True,
        guest_hostname=False,
    )
    found = build(inputs)
    mounts = found.pop("mounts")
    assert {mount["destination"] for mount in mounts} >= {"/proc", "/dev", "/sys", "/dev/shm"}
    capabilities = sorted(DEFAULT)
    assert found == {
        "ociVersion": "1.0.2",
        "root": {"path": "/rootfs", "readonly": False},
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0, "additionalGids": [0, 7]},
            "args": ["/bin/true"],
            "env": [
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "HOSTNAME=pod",
                "A=1",
                "HOME=/root",
            ],
            "cwd": "/work",
            "capabilities": {
                "bounding": capabilities,
                "effective": capabilities,
                "permitted": capabilities,
                "inheritable": [],
                "ambient": [],
            },
            "noNewPrivileges": False,
            "oomScoreAdj": 5,
            "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2}],
        },
        "annotations": {"io.kubernetes.cri.container-type": "container"},
        "linux": {
            "cgroupsPath": "/parent/id",
            "namespaces": [
                {"type": "mount"},
                {"type": "network", "path": "/ns/net"},
                {"type": "ipc", "path": "/ns/ipc"},
                {"type": "pid"},
            ],
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "devices": [],
            "maskedPaths": ["/proc/keys"],
            "readonlyPaths": ["/proc/sys", "/sys", *cgroup_v1_paths()],
        },
    }
