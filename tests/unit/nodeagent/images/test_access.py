import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from lightkube.models.core_v1 import Secret

from nodeagent.images.access import PullRecords
from nodeagent.images.keyring import Credential, SecretCoordinates, ServiceAccountCoordinates
from nodeagent.images.manager import ImageFailure, ImageManager, ImageRequest, ImageTarget
from nodeagent.images.verification import verification
from proto import cri_pb2 as cri
from runtimes.errors import NotFound
from runtimes.kube.image_reference import parse

IMAGE = "r.example/app:1"
NAME = parse(IMAGE)


def login(user: str, uid: str = "1", name: str = "s") -> Credential:
    secret = SecretCoordinates(uid=uid, namespace="ns", name=name)
    return Credential(username=user, password="p", secret=secret)


async def pull(records: PullRecords, credential: Credential | None, image: str = IMAGE, ref: str = "sha256:a") -> None:
    await records.pulling(image)
    await records.pulled(parse(image), image, ref, credential)


async def may(records: PullRecords, *credentials: Credential, image: str = IMAGE) -> bool:
    async def offer() -> tuple[Credential, ...]:
        return credentials

    return await records.may_use(parse(image), image, "sha256:a", offer)


async def test_preloaded(tmp_path: Path) -> None:
    """What the agent never pulled is everybody's."""
    assert await may(PullRecords(tmp_path)) is True


@pytest.mark.parametrize("credential", [None, Credential(username="node", password="x")])
async def test_pulled_without_secret(tmp_path: Path, credential: Credential | None) -> None:
    """What was pulled anonymously or with the node's login is everybody's, under that name, after a restart too."""
    await pull(PullRecords(tmp_path), credential)
    assert await may(PullRecords(tmp_path)) is True
    assert await may(PullRecords(tmp_path), image="r.example/app:2") is True
    assert await may(PullRecords(tmp_path), image="r.example/other:1") is False


async def test_pulled_with_secret(tmp_path: Path) -> None:
    """What was pulled with a secret needs the same secret, or another one with the same login."""
    await pull(PullRecords(tmp_path), login("alice"))
    records = PullRecords(tmp_path)
    assert await may(records) is False
    assert await may(records, Credential(username="alice", password="p")) is False
    assert await may(records, login("mallory", uid="9", name="other")) is False
    assert await may(records, login("alice")) is True


async def test_renewed_secret(tmp_path: Path) -> None:
    """The same secret with a new login may; from then on the new login counts in any secret, the old one does not."""
    records = PullRecords(tmp_path)
    await pull(records, login("alice"))
    assert await may(records, login("alice2")) is True
    assert await may(records, login("alice2", uid="7")) is True
    assert await may(records, login("alice", uid="8")) is False


async def test_once_for_everybody(tmp_path: Path) -> None:
    """A successful pull without a secret opens the image for all, and a later one with a secret does not close it."""
    records = PullRecords(tmp_path)
    await pull(records, login("alice"))
    await pull(records, None)
    await pull(records, login("alice"))
    assert await may(records) is True


async def test_killed_while_pulling(tmp_path: Path) -> None:
    """An image whose pull was under way when the agent died is nobody's until it is pulled again."""
    await PullRecords(tmp_path).pulling(IMAGE)
    records = PullRecords(tmp_path)
    assert await may(records, login("alice")) is False
    await pull(records, login("alice"))
    assert await may(records, login("alice")) is True
    assert list((tmp_path / "image_manager" / "pulling").iterdir()) == []


async def test_failed_pull_leaves_nothing(tmp_path: Path) -> None:
    """Of two pulls of an image the intent stays until both have ended."""
    records = PullRecords(tmp_path)
    folder = tmp_path / "image_manager" / "pulling"
    await records.pulling(IMAGE)
    await records.pulling(IMAGE)
    await records.failed(IMAGE)
    assert len(list(folder.iterdir())) == 1
    await records.failed(IMAGE)
    assert list(folder.iterdir()) == []


async def test_broken_record(tmp_path: Path) -> None:
    """A record that cannot be read opens the image to nobody."""
    records = PullRecords(tmp_path)
    await pull(records, None)
    (path,) = (tmp_path / "image_manager" / "pulled").iterdir()
    path.write_text("{")
    assert await may(records) is False


async def test_files(tmp_path: Path) -> None:
    """The files are the kubelet's, by name and content, and hold no password."""
    await pull(PullRecords(tmp_path), login("alice"))
    (path,) = (tmp_path / "image_manager" / "pulled").iterdir()
    assert path.name == "sha256-" + hashlib.sha256(b"sha256:a").hexdigest()
    document = json.loads(path.read_text())
    secret = document["credentialMapping"]["r.example/app"]["kubernetesSecrets"][0]
    assert (document["kind"], document["imageRef"]) == ("ImagePulledRecord", "sha256:a")
    assert {k: secret[k] for k in ("uid", "namespace", "name")} == {"uid": "1", "namespace": "ns", "name": "s"}
    assert "alice" not in path.read_text()


async def test_prune(tmp_path: Path) -> None:
    """Records of images that are gone go with them."""
    records = PullRecords(tmp_path)
    await pull(records, None)
    await pull(records, None, ref="sha256:b")
    await PullRecords(tmp_path).pulling("r.example/dead:1")
    await records.forget_all_but([cri.Image(id="sha256:a")], datetime.now(UTC) + timedelta(seconds=1))
    assert len(list((tmp_path / "image_manager" / "pulled").iterdir())) == 1
    assert list((tmp_path / "image_manager" / "pulling").iterdir()) == []


async def test_what_is_no_record_is_left_alone(tmp_path: Path) -> None:
    """Folders and links that lead nowhere, in both folders, keep nobody from looking after the rest."""
    records = PullRecords(tmp_path)
    await pull(records, None)
    folders = [tmp_path / "image_manager" / name for name in ("pulled", "pulling")]
    for folder in folders:
        (folder / "strange").mkdir()
        (folder / "loop").symlink_to("loop")
    await records.forget_all_but([], datetime.now(UTC) + timedelta(seconds=1))
    assert [[path.name for path in folder.iterdir()] for folder in folders] == [["strange"], ["strange"]]


async def test_manager_asks(
    tmp_path: Path, make_pod: Any, make_secret: Callable[..., Secret], service: Any, events: Any, clock: Any
) -> None:
    """A present image of somebody else's secret is pulled again with one's own; with Never it is as if it were absent."""
    manager = ImageManager(events, access=PullRecords(tmp_path), clock=clock)
    place, wanted = ImageTarget(service=service), ImageRequest(image=IMAGE, pull_policy="IfNotPresent")
    await manager.ensure_image(make_pod(), wanted, place, [make_secret({"r.example": "alice:1"})])
    events.take()
    await manager.ensure_image(make_pod(), wanted, place, [make_secret({"r.example": "alice:1"})])
    present = f'Container image "{IMAGE}" already present on machine and can be accessed by the pod'
    assert events.take() == [("Normal", "Pulled", present)]
    with pytest.raises(ImageFailure) as failure:
        await manager.ensure_image(make_pod(), ImageRequest(image=IMAGE, pull_policy="Never"), place)
    assert failure.value.reason == "ErrImageNeverPull"
    service.answers = [NotFound("not for you")]
    with pytest.raises(ImageFailure) as failure:
        await manager.ensure_image(make_pod("other"), wanted, place, [make_secret({"r.example": "bob:2"}, uid="b")])
    assert failure.value.message == "rpc error: code = NotFound desc = not for you"
    assert service.requests[-1].auth == cri.AuthConfig(username="bob", password="2")


async def test_pulled_in_the_name_of_an_account(tmp_path: Path) -> None:
    """What a service account's token brought is for pods of that account."""
    accounts = [ServiceAccountCoordinates(uid=uid, namespace="ns", name="sa") for uid in ("1", "2")]
    mine, others = (Credential(username="u", password="p", service_account=account) for account in accounts)
    await pull(PullRecords(tmp_path), mine)
    records = PullRecords(tmp_path)
    assert await may(records, mine) is True
    assert await may(records, others) is False
    assert await may(records, login("u")) is False
    await pull(records, login("alice"))
    assert await may(records, mine) is True
    assert await may(records, login("alice")) is True


@pytest.mark.parametrize(
    ("policy", "preloaded", "pulled"),
    [
        ("NeverVerify", True, True),
        ("NeverVerifyPreloadedImages", True, False),
        ("AlwaysVerify", False, False),
        ("NeverVerifyAllowlistedImages", False, False),
    ],
)
async def test_policies(tmp_path: Path, policy: str, preloaded: bool, pulled: bool) -> None:
    """Who may use an image without credentials, by policy: one that the agent did not pull, and one of a secret."""
    records = PullRecords(tmp_path, verification(policy))
    assert await may(records) is preloaded
    await pull(records, login("alice"))
    assert await may(records) is pulled
    assert await may(records, login("alice")) is True


async def test_cut_short_and_swept(tmp_path: Path) -> None:
    """The image of a pull that a kill cut short belongs to nobody, after its intent was swept away too."""
    await PullRecords(tmp_path).pulling("app:1")
    records = PullRecords(tmp_path)
    here = cri.Image(id="sha256:a", repo_tags=["docker.io/library/app:1"])
    await records.forget_all_but([here], datetime.now(UTC))
    assert list((tmp_path / "image_manager" / "pulling").iterdir()) == []
    assert await may(records, login("alice"), image="app:1") is False
    assert await may(records, login("alice"), image="other:1") is False


async def test_pulled_while_others_are_swept(tmp_path: Path) -> None:
    """The record of an image that came after the look, and the intent of a pull under way, stay."""
    records = PullRecords(tmp_path)
    await pull(records, login("alice"))
    await records.pulling("r.example/next:1")
    await records.forget_all_but([], datetime.now(UTC))
    assert await may(records) is False
    assert len(list((tmp_path / "image_manager" / "pulling").iterdir())) == 1


async def test_credentials_are_asked_for_only_where_they_matter(tmp_path: Path) -> None:
    """A pod's providers are not run for an image that is everybody's."""

    async def offer() -> tuple[Credential, ...]:
        raise AssertionError("asked")

    records = PullRecords(tmp_path)
    assert await records.may_use(NAME, IMAGE, "sha256:a", offer) is True
    await pull(records, None)
    assert await records.may_use(NAME, IMAGE, "sha256:a", offer) is True
