"""What a runtime may be unable to do, and be a runtime all the same. An `Implementation` names those that it lacks, and why.

A case that needs one is skipped with that reason; everything else is the contract.
"""

from collections.abc import Mapping

# ability -> what the cases expect of a runtime that has it
ABILITIES: Mapping[str, str] = {
    # for runtimes that run nothing
    "processes": "containers are processes that run, write logs, exit, and can be looked into",
    "streams": "exec sessions, attach and port-forward",
    "registries": "images come from a registry that answers over plain HTTP at a loopback address",
    "statistics": "figures of CPU, memory and disk of what runs",
    "validation": "requests are refused that a kernel could not carry out",
    "joining repeated requests": "the same RunPodSandbox or CreateContainer, while the first is under way, joins it",
    # containers and their resources
    "container limits": "the limits of each container are in force in a cgroup of its own, below the pod's",
    "no update after the end": "new limits for a container that has ended are WrongState",
    "statistics of one container": "the figures of a container are its own",
    "figures of the running only": "what does not run has no figures",
    "metrics": "ListMetricDescriptors and ListPodSandboxMetrics",
    "cgroups are removed": "with a sandbox go the cgroups that were made for it",
    # namespaces and the host
    "host namespaces": "network, PID and IPC namespaces of the host can be shared; inodes of namespaces are the host's",
    "target pid": "a container can join the PID namespace of another",
    "sysctls": "those of the pod's namespaces are set, others refused",
    "host files in proc": "/proc has the host kernel's files, masked as asked for",
    # mounts
    "mount propagation": "HostToContainer and Bidirectional",
    "recursive read-only": "read-only mounts may include what is mounted below them",
    "image volumes": "an image, or a folder of it, is a volume",
    "relative host paths": "a mount whose source is no absolute path is refused",
    "declared volumes of any kind": "volumes that an image declares at files, links and odd names",
    "a writable /sys": "a privileged container's /sys is writable",
    # security
    "privileged by the sandbox": "a privileged container in a sandbox that is not is refused",
    "group policies": "supplementalGroupsPolicy Strict",
    "users in the status": "ContainerStatus.user tells users and groups",
    "capabilities with a prefix": "CAP_NET_ADMIN is NET_ADMIN",
    "ambient capabilities": "added ambient capabilities are in force for users other than root",
    "no_new_privs in proc": "the kernel reports it",
    "seccomp in proc": "the kernel reports the profile's kind",
    "AppArmor's default without AppArmor": "RuntimeDefault is fine where the host has no AppArmor",
    "devices": "devices of the host, with the access that was asked for",
    # processes
    "stop signals in the configuration": "ContainerConfig.stop_signal",
    "execs end with their children": "a command that timed out is gone with all that it started",
    "execs end with their client": "a command whose client went away is gone",
    "orphans of execs": "so are its orphans",
    # images and answers
    "list one image": "ListImages with a filter answers that image",
    "runtime configuration": "the RuntimeConfig verb",
    "error codes": "errors have the classes that the contract names, and not any",
}
