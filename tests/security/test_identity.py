"""Who runs: numbers of a pod and of an image are ids, whatever the image's own files make of them. Real runtimes."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from node_under_test import NodeUnderTest, import_image, make_node
from pods_under_test import finished, log_of, make_pod, shell, state_of, waits_for
from runtime_classes import runtime_class

from runtimes.testing import images

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("security-identity")]

FILES = {
    "etc/passwd": "1000:x:0:0::/:/bin/sh\n4294967296:x:0:0::/:/bin/sh\n-1:x:0:0::/:\napp:x:1000:1001::/app:/bin/sh\n",
    "etc/group": "2000:x:0:\nteam:x:77:app\n",
}
MISLEADING = {**FILES, "etc/group": "1001:x:0:\nteam:x:77:app\n"}  # runc itself looks additional groups up by name
USERS = {"named": "1000", "grouped": "1000:2000", "root": "+0", "huge": "4294967296", "below": "-1", "word": "app"}
WHO = "grep -E '^(Uid|Gid|Groups):' /proc/self/status | tr -s '\\t ' ' '"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeUnderTest]:
    """A node with one image a user, each with accounts that have numbers for names."""
    folder = tmp_path_factory.mktemp("identity")
    made = make_node(folder)
    made.directory.mkdir()
    for name, user in USERS.items():
        archive = folder / f"{name}.tar"
        images.build(archive, tag=f"localhost/{name}:1", files=FILES, config={"User": user})
        import_image(made, archive)
    archive = folder / "misleading.tar"
    images.build(archive, tag="localhost/misleading:1", files=MISLEADING)
    import_image(made, archive)
    made.start()
    for name in ("crun", "gvisor"):
        made.apply(runtime_class(name))
    yield made
    made.clean()


def who(name: str, image: str, own: dict[str, Any], pod: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    made = shell("c", WHO, image=f"localhost/{image}:1", imagePullPolicy="Never", securityContext=own)
    return make_pod(name, made, restartPolicy="Never", securityContext=pod or {}, **spec)


def test_no_image_makes_root_of_a_number(node: NodeUnderTest) -> None:
    """runAsUser, runAsGroup and an image's USER 1000[:2000]: the kernel sees those ids, on runc, crun and gVisor."""
    number = {"runAsUser": 1000, "runAsNonRoot": True}
    app = ("1000", "1001", {1001, 77})
    pods = {
        "asked": (who("asked", "root", number), app),
        "asked-crun": (who("asked-crun", "named", number, runtimeClassName="crun"), app),
        "asked-gvisor": (who("asked-gvisor", "named", number, runtimeClassName="gvisor"), app),
        "image": (who("image", "named", {"runAsNonRoot": True}), app),
        "group": (who("group", "named", {"runAsGroup": 1001}), app),
        "group-crun": (
            who("group-crun", "named", {"runAsGroup": 2000}, runtimeClassName="crun"),
            ("1000", "2000", {2000, 77}),
        ),
        "both": (who("both", "grouped", {"runAsNonRoot": True}), app),  # as in a cluster, the user's own group
        "misled-crun": (who("misled-crun", "misleading", number, runtimeClassName="crun"), app),
        "strict": (
            who(
                "strict",
                "grouped",
                number,
                {"supplementalGroups": [1001, 5], "fsGroup": 6, "supplementalGroupsPolicy": "Strict"},
            ),
            ("1000", "1001", {1001, 5, 6}),
        ),
        "word": (who("word", "word", {}), app),
    }
    node.apply(*(pod for pod, _ in pods.values()))
    seen = {}
    for name in pods:
        node.pod_when(name, finished)
        ids = dict(line.split(": ", 1) for line in log_of(node, name).splitlines())
        uids, gids = ids["Uid"].split(), ids["Gid"].split()
        assert len(set(uids)) == len(set(gids)) == 1, ids
        seen[name] = (uids[0], gids[0], {int(text) for text in ids["Groups"].split()})
    assert seen == {name: expected for name, (_, expected) in pods.items()}
    status = node.pod("asked")["status"]["containerStatuses"][0]["user"]["linux"]
    assert (status["uid"], status["gid"], set(status["supplementalGroups"])) == (1000, 1001, {1001, 77})


def test_what_cannot_be_told_from_root_does_not_run(node: NodeUnderTest) -> None:
    """runAsNonRoot with a zero in disguise, with ids that are none, with a name: refused before anything is made; without
    it an id that is none is refused all the same, and not looked up as the name of an account."""
    careful = {"runAsNonRoot": True}
    pods = [
        who("zero", "root", careful),
        who("huge", "huge", careful),
        who("below", "below", careful),
        who("named", "word", careful),
        who("huge-careless", "huge", {}),
        who("below-careless", "below", {}),
        who("misled", "misleading", {"runAsUser": 1000}),
    ]
    node.apply(*pods)
    words = {
        "zero": "image will run as root",
        "huge": "image has an invalid user id (4294967296)",
        "below": "image has an invalid user id (-1)",
        "named": "image has non-numeric user (app), cannot verify user is non-root",
        "huge-careless": "uids and gids must be in range 0-2147483647, not 4294967296",
        "below-careless": "uids and gids must be in range 0-2147483647, not -1",
        "misled": "the image has a group named 1001 whose id is 0: refused",
    }
    for name, text in words.items():
        found = node.pod_when(name, waits_for("CreateContainerConfigError", "CreateContainerError"))
        assert text in state_of(found)[2], json.dumps(found["status"])
        assert log_of(node, name) == ""
