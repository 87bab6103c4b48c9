"""Where a fault can strike, and how: the vocabulary shared by the test-side launcher and the matrix of cases.

A point is a function of the agent, by its dotted name. The production code knows nothing of this: the launcher
(`agent_with_faults.py`) puts a wrapper around the function and then runs the ordinary agent.
"""

from dataclasses import dataclass

import msgspec

# What a fault does at its point.
FAIL = "fail"  # raise the error that this place knows, without having done the work
LOST = "lost"  # do the work, then raise: the answer was lost
HANG = "hang"  # nothing happens until a deadline, then Timeout
CANCEL = "cancel"  # the task is cancelled a moment after the work began
CANCEL_TWICE = "cancel-twice"  # and again while it cleans up
DELETE = "delete"  # the pod is deleted while the work hangs
KILL_BEFORE = "kill-before"  # kill -9 of the agent before the work
KILL_MIDDLE = "kill-middle"  # a moment after it began
KILL_AFTER = "kill-after"  # as soon as it is done
STOP = "stop"  # SIGTERM to the agent in the middle
API_FREEZE = "api-freeze"  # the API stops answering (SIGSTOP) from here on, for a while
API_KILL = "api-kill"  # the API dies here, and comes back after a while

KILLS = (KILL_BEFORE, KILL_MIDDLE, KILL_AFTER, STOP)
OUTAGES = (API_FREEZE, API_KILL)
OUTAGE_SECONDS = 0.8
IN_PROCESS = (FAIL, LOST, HANG, CANCEL, CANCEL_TWICE, DELETE)


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One fault, as the launcher reads it. `nth`: at which passing of the point by this pod, counted from 1, in one process."""

    id: str
    pod: str  # name of the pod; empty: whoever comes by first
    point: str
    mode: str
    nth: int = 1
    delay_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One place on a pod's way.

    `target`: "module:function" or "module:Class.method". `error`: what it raises when it fails (launcher: ERRORS); empty: it
    cannot fail by itself. `modes`: what is tried here. `way`: up, down, or back (an agent's start).
    """

    name: str
    target: str
    way: str
    modes: tuple[str, ...]
    error: str = ""


_ASYNC = (FAIL, LOST, HANG, CANCEL, CANCEL_TWICE, KILL_BEFORE, KILL_MIDDLE, KILL_AFTER, STOP)
_ALL = (*_ASYNC, DELETE, API_FREEZE, API_KILL)
_DOWN = (*_ASYNC, API_FREEZE, API_KILL)
_SYNC = (FAIL, KILL_BEFORE, KILL_AFTER)
_INNER = (CANCEL, CANCEL_TWICE, KILL_BEFORE, KILL_MIDDLE, KILL_AFTER)
_KILL = (KILL_BEFORE, KILL_AFTER)

POINTS: tuple[Point, ...] = (
    # the way up: steps
    Point(name="admit", target="nodeagent.pods.manager:PodManager._judge", way="up", modes=_KILL),
    Point(
        name="directories",
        target="nodeagent.pods.steps.directories:make_pod_directories",
        way="up",
        modes=_SYNC,
        error="os",
    ),
    Point(
        name="cgroup", target="nodeagent.cgroups.pod_cgroups:PodCgroups.ensure", way="up", modes=_ALL, error="cgroup"
    ),
    Point(
        name="volumes", target="nodeagent.volumes.manager:VolumeManager.mount", way="up", modes=_ALL, error="internal"
    ),
    Point(name="images", target="nodeagent.pods.images:PodImages.ensure", way="up", modes=_ALL, error="image"),
    Point(
        name="sandbox", target="runtimes.oci.engine:OCIRuntime.run_pod_sandbox", way="up", modes=_ALL, error="runtime"
    ),
    Point(
        name="create", target="runtimes.oci.engine:OCIRuntime.create_container", way="up", modes=_ALL, error="runtime"
    ),
    Point(name="start", target="runtimes.oci.engine:OCIRuntime.start_container", way="up", modes=_ALL, error="runtime"),
    # the way up: inside the steps
    Point(
        name="empty-dir",
        target="nodeagent.volumes.empty_dir:EmptyDirPlugin.publish",
        way="up",
        modes=_ASYNC,
        error="volume",
    ),
    Point(
        name="config-map",
        target="nodeagent.volumes.object_keys:ObjectKeysPlugin.publish",
        way="up",
        modes=_ASYNC,
        error="volume",
    ),
    Point(name="claim", target="nodeagent.volumes.claims:ClaimResolver.resolve", way="up", modes=_ALL, error="volume"),
    Point(name="hold", target="nodeagent.volumes.stage:NodeVolumes.hold", way="up", modes=_ASYNC, error="os"),
    Point(name="stage", target="nodeagent.volumes.local:LocalPlugin.stage", way="up", modes=_ASYNC, error="volume"),
    Point(name="publish", target="nodeagent.volumes.local:LocalPlugin.publish", way="up", modes=_ASYNC, error="volume"),
    Point(name="netns", target="runtimes.oci.namespaces:SandboxNamespaces.make", way="up", modes=_SYNC, error="os"),
    Point(name="cni-add", target="runtimes.oci.network:CNINetwork.setup", way="up", modes=_ASYNC, error="runtime"),
    Point(name="cni-plugin", target="cni.network:Network._run", way="up", modes=_ASYNC, error="cni"),
    Point(name="native-attach", target="cni.native.veth:attach", way="up", modes=(*_KILL, FAIL), error="os"),
    Point(
        name="sandbox-record", target="runtimes.oci.core:Core.save_sandbox", way="up", modes=(*_KILL, FAIL), error="os"
    ),
    Point(
        name="overlay",
        target="runtimes.oci.images.store:DiskImageStore.prepare_rootfs",
        way="up",
        modes=_ASYNC,
        error="os",
    ),
    Point(name="bundle", target="runtimes.oci.bundles:write_bundle", way="up", modes=_ASYNC, error="runtime"),
    Point(name="conmon", target="runtimes.oci.conmon:launch", way="up", modes=_ASYNC, error="runtime"),
    Point(
        name="container-record",
        target="runtimes.oci.core:Core.save_container",
        way="up",
        modes=(*_KILL, FAIL),
        error="os",
    ),
    Point(
        name="start-program",
        target="runtimes.oci.program:RuntimeProgram.start",
        way="up",
        modes=_ASYNC,
        error="runtime",
    ),
    Point(name="post-start", target="nodeagent.pods.hooks:LifecycleHooks.run", way="up", modes=_INNER),
    Point(
        name="status",
        target="nodeagent.pods.status.writer:StatusWriter._send_once",
        way="up",
        modes=_DOWN,
        error="api",
    ),
    Point(name="observe", target="nodeagent.pods.supervisor:observe", way="up", modes=(FAIL, HANG), error="runtime"),
    # the way up: an image that is not there yet
    Point(
        name="pull", target="runtimes.oci.images.store:DiskImageStore.pull_image", way="up", modes=_ALL, error="runtime"
    ),
    Point(name="fetch", target="runtimes.oci.images.pull:Pull.run", way="up", modes=_ASYNC, error="runtime"),
    Point(name="unpack", target="runtimes.oci.images.intake:unpack", way="up", modes=_ASYNC, error="runtime"),
    # the way down
    Point(name="exit", target="runtimes.oci.termination:Termination._finish", way="down", modes=_KILL),
    Point(
        name="exit-record",
        target="runtimes.oci.core:Core.save_container",
        way="down",
        modes=(*_KILL, FAIL),
        error="os",
    ),
    Point(name="exit-cleared", target="runtimes.oci.termination:Termination._clear", way="down", modes=_KILL),
    Point(
        name="kill-pod",
        target="nodeagent.pods.terminator:Terminator.kill_pod",
        way="down",
        modes=_DOWN,
        error="runtime",
    ),
    Point(name="pre-stop", target="nodeagent.pods.hooks:LifecycleHooks.run", way="down", modes=_INNER),
    Point(
        name="stop-container",
        target="runtimes.oci.engine:OCIRuntime.stop_container",
        way="down",
        modes=_DOWN,
        error="runtime",
    ),
    Point(
        name="stop-sandbox",
        target="runtimes.oci.engine:OCIRuntime.stop_pod_sandbox",
        way="down",
        modes=_DOWN,
        error="runtime",
    ),
    Point(name="cni-del", target="runtimes.oci.network:CNINetwork.teardown", way="down", modes=_ASYNC, error="runtime"),
    Point(  # not cancelled: a DEL that has begun is nobody's to cancel
        name="cni-plugin-del",
        target="cni.network:Network._run",
        way="down",
        modes=tuple(mode for mode in _ASYNC if mode not in (CANCEL, CANCEL_TWICE)),
        error="cni",
    ),
    Point(name="native-detach", target="cni.native.veth:detach", way="down", modes=_KILL),
    Point(name="netns-gone", target="runtimes.oci.namespaces:SandboxNamespaces.release", way="down", modes=_KILL),
    Point(
        name="unmount", target="nodeagent.volumes.manager:VolumeManager.unmount", way="down", modes=_DOWN, error="os"
    ),
    Point(
        name="unpublish",
        target="nodeagent.volumes.local:LocalPlugin.unpublish",
        way="down",
        modes=_ASYNC,
        error="volume",
    ),
    Point(
        name="unstage", target="nodeagent.volumes.local:LocalPlugin.unstage", way="down", modes=_ASYNC, error="volume"
    ),
    Point(name="release", target="nodeagent.volumes.stage:NodeVolumes.release", way="down", modes=_ASYNC, error="os"),
    Point(
        name="cgroup-gone",
        target="nodeagent.cgroups.pod_cgroups:PodCgroups.remove",
        way="down",
        modes=_DOWN,
        error="cgroup",
    ),
    Point(
        name="remove-sandbox",
        target="runtimes.oci.engine:OCIRuntime.remove_pod_sandbox",
        way="down",
        modes=_DOWN,
        error="runtime",
    ),
    Point(
        name="dismantle",
        target="runtimes.oci.termination:Termination._dismantle",
        way="down",
        modes=_ASYNC,
        error="runtime",
    ),
    Point(
        name="overlay-gone",
        target="runtimes.oci.images.store:DiskImageStore.remove_rootfs",
        way="down",
        modes=_ASYNC,
        error="os",
    ),
    Point(
        name="folders-gone",
        target="nodeagent.pods.steps.directories:remove_pod_folder",
        way="down",
        modes=_SYNC,
        error="os",
    ),
    Point(name="final-status", target="nodeagent.pods.status.writer:StatusWriter.settled", way="down", modes=_KILL),
    Point(name="final-delete", target="nodeagent.api.client:ApiClient.delete", way="down", modes=_DOWN, error="api"),
    # the way back
    Point(name="back-adopt", target="runtimes.oci.restore:Restore._adopt", way="back", modes=_KILL),
    Point(name="back-half", target="runtimes.oci.restore:Restore._remove_half_made", way="back", modes=_KILL),
    Point(name="back-sandboxes", target="runtimes.oci.restore:Restore._finish_sandboxes", way="back", modes=_KILL),
    Point(name="back-sweep", target="runtimes.oci.restore:Restore._sweep", way="back", modes=_KILL),
    Point(name="back-orphans", target="nodeagent.pods.orphans:OrphanCollector.collect", way="back", modes=_KILL),
)

BY_NAME = {point.name: point for point in POINTS}
