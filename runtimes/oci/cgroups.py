"""What the containers' cgroups are called, by cgroup driver.

A cgroup is named by its path below the hierarchy's root, as in the CRI: "/kubepods/burstable/pod<uid>/<container id>".
"""


def container_cgroup(parent: str, container_id: str, driver: str) -> str:
    """Where a container's processes are: below the pod's cgroup, or in a scope of the pod's slice."""
    if driver == "cgroupfs":
        return f"{parent.rstrip('/')}/{container_id}"
    return f"{expand_slice(slice_name(parent))}/nodeagent-{container_id}.scope"


def oci_cgroups_path(parent: str, container_id: str, driver: str) -> str:
    """The same for the bundle: systemd takes `slice:prefix:name`."""
    if driver == "cgroupfs":
        return f"{parent.rstrip('/')}/{container_id}"
    return f"{slice_name(parent)}:nodeagent:{container_id}"


def slice_name(parent: str) -> str:
    """The last part of a CRI cgroup parent: "/kubepods.slice/kubepods-pod1.slice" is the slice "kubepods-pod1.slice"."""
    return parent.rstrip("/").rpartition("/")[2] or "system.slice"


def expand_slice(name: str) -> str:
    """The path of a slice, whose dashes are its parents: a-b.slice is in /a.slice/a-b.slice (systemd.slice(5))."""
    parts = name.removesuffix(".slice").split("-")
    return "".join(f"/{'-'.join(parts[: count + 1])}.slice" for count in range(len(parts)))
