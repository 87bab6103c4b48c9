"""Images that need a login: secrets, service accounts, credential providers, and who may use what is there already.

One registry that asks for a password, one node, all of it through kubectl.
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from node_under_test import NodeUnderTest, import_image, make_node, pod_object
from registry_under_test import PASSWORD, USER, Registry, running_registry

from runtimes.testing import images

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("agent-image-access")]

PROVIDER = """#!/bin/sh
cat >> {asked}
[ -e {folder}/broken ] && {{ echo "no route to the vault" >&2; exit 7; }}
cat <<END
{{"kind":"CredentialProviderResponse","apiVersion":"credentialprovider.kubelet.k8s.io/v1","cacheKeyType":"Registry",
"cacheDuration":"0s","auth":{{"{host}":{{"username":"{user}","password":"{password}"}}}}}}
END
"""


@dataclass
class Guarded:
    """A node beside a registry with a password, and the providers that know it."""

    node: NodeUnderTest
    registry: Registry
    folder: Path

    def image(self, path: str) -> str:
        return f"{self.registry.host}/{path}:1"

    def asked(self, provider: str) -> list[dict[str, Any]]:
        file = self.folder / f"{provider}.asked"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def secret(self, name: str, *, legacy: bool = False) -> None:
        login = {self.registry.host: {"auth": base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}}
        kind, key, content = (
            ("dockercfg", ".dockercfg", login)
            if legacy
            else ("dockerconfigjson", ".dockerconfigjson", {"auths": login})
        )
        data = {key: base64.b64encode(json.dumps(content).encode()).decode()}
        metadata = {"name": name, "namespace": "default"}
        kind = f"kubernetes.io/{kind}"
        self.node.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": kind, "data": data})

    def failed(self, name: str) -> str:
        """The first message of a container that waits for its image."""

        def waiting(pod: dict[str, Any]) -> str:
            states = [status["state"] for status in pod["status"].get("containerStatuses", ())]
            found = [state["waiting"] for state in states if "waiting" in state]
            return next((w["message"] for w in found if w["reason"] in ("ErrImagePull", "ImagePullBackOff")), "")

        return waiting(self.node.pod_when(name, waiting, f"pod {name} waits for its image"))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, demo_image: Path) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    with running_registry(folder / "registry", auth=True) as registry:
        (folder / "bin").mkdir()
        for name in ("vault", "accounts"):
            program = folder / "bin" / name
            program.write_text(
                PROVIDER.format(
                    asked=folder / f"{name}.asked", folder=folder, host=registry.host, user=USER, password=PASSWORD
                )
            )
            program.chmod(0o755)
            settings = {
                "name": name,
                "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
                "matchImages": [f"{registry.host}/{name}"],
                "defaultCacheDuration": "10m",
            }
            if name == "accounts":
                settings["tokenAttributes"] = {
                    "serviceAccountTokenAudience": "registry.example",
                    "cacheType": "ServiceAccount",
                    "requireServiceAccount": True,
                    "requiredServiceAccountAnnotationKeys": ["example.com/pulls-as"],
                }
            document = {
                "apiVersion": "kubelet.config.k8s.io/v1",
                "kind": "CredentialProviderConfig",
                "providers": [settings],
            }
            (folder / "providers").mkdir(exist_ok=True)
            (folder / "providers" / f"{name}.json").write_text(json.dumps(document))
        for path in ("vault/app", "accounts/app", "app", "shared", "legacy"):
            registry.push(demo_image, f"{path}:1")
        node = make_node(
            folder,
            imageCredentialProviderConfig=str(folder / "providers"),
            imageCredentialProviderBinDir=str(folder / "bin"),
        )
        node.directory.mkdir()
        node.start()
        yield Guarded(node, registry, folder)
        node.clean()


def test_a_provider_knows_the_login(guarded: Guarded) -> None:
    """A pod without any secret gets its image by the provider's login; what the agent asked is the protocol's request."""
    node = guarded.node
    node.apply(pod_object("vault", "sleep", "100000", image=guarded.image("vault/app")))
    node.running("vault")
    assert guarded.asked("vault")[0] == {
        "kind": "CredentialProviderRequest",
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
        "image": guarded.image("vault/app").removesuffix(":1"),
    }
    assert PASSWORD not in node.log()
    # the node's own login: everybody's from now on
    node.apply(pod_object("vault-too", "sleep", "100000", image=guarded.image("vault/app")))
    node.running("vault-too")
    assert dict(node.events("vault-too"))["Pulled"].endswith(
        "already present on machine and can be accessed by the pod"
    )
    assert len(guarded.asked("vault")) == 1


def test_a_provider_that_fails(guarded: Guarded) -> None:
    """The pull goes on without it, and is refused by the registry; the log says what the provider said."""
    (guarded.folder / "broken").touch()
    try:
        image = guarded.image("vault/app")
        guarded.node.apply(pod_object("broken", image=image, imagePullPolicy="Always"))
        assert "authentication required" in guarded.failed("broken")
        assert "error execing credential provider plugin vault" in guarded.node.log()
        assert "exit status 7: no route to the vault" in guarded.node.log()
    finally:
        (guarded.folder / "broken").unlink()
    guarded.node.kubectl("delete", "pod", "broken", "--wait=false")


def test_a_provider_for_service_accounts(guarded: Guarded) -> None:
    """The provider gets a token of the pod's account, for its own audience and bound to the pod; what it brought is the
    account's: a pod of another account has to pull for itself, and may not."""
    node, image = guarded.node, guarded.image("accounts/app")
    annotations = {"example.com/pulls-as": "reader", "example.com/other": "x"}
    metadata = {"name": "puller", "namespace": "default", "annotations": annotations}
    node.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    node.apply(pod_object("accounts", "sleep", "100000", image=image, serviceAccountName="puller"))
    node.running("accounts")
    (asked,) = guarded.asked("accounts")
    assert asked["serviceAccountAnnotations"] == {"example.com/pulls-as": "reader"}
    claims = asked["serviceAccountToken"].split(".")[1]
    told = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    assert (told["aud"], told["sub"]) == (["registry.example"], "system:serviceaccount:default:puller")
    assert told["kubernetes.io"]["pod"]["name"] == "accounts"
    assert asked["serviceAccountToken"] not in node.log()
    node.apply(pod_object("stranger", image=image))
    assert "authentication required" in guarded.failed("stranger")
    assert len(guarded.asked("accounts")) == 1
    node.kubectl("delete", "pod", "stranger", "--wait=false")


def test_an_image_of_a_secret_is_no_gift(guarded: Guarded) -> None:
    """What a secret brought is for pods that have the secret, after a restart of the agent too; the others must pull, and
    with Never it is as if it were absent."""
    node, image = guarded.node, guarded.image("app")
    guarded.secret("login")
    with_secret = {"imagePullSecrets": [{"name": "login"}]}
    node.apply(pod_object("owner", "sleep", "100000", image=image, **with_secret))
    node.running("owner")
    node.apply(pod_object("thief", image=image, imagePullPolicy="IfNotPresent"))
    assert "authentication required" in guarded.failed("thief")
    node.stop()
    node.start()
    node.apply(pod_object("second-thief", image=image, imagePullPolicy="IfNotPresent"))
    assert "authentication required" in guarded.failed("second-thief")
    node.apply(pod_object("never", image=image, imagePullPolicy="Never"))
    assert node.event_when("never", "ErrImageNeverPull") == (
        f'Container image "{image}" is not present with pull policy of Never'
    )
    node.apply(pod_object("heir", "sleep", "100000", image=image, **with_secret))
    node.running("heir")
    assert dict(node.events("heir"))["Pulled"] == (
        f'Container image "{image}" already present on machine and can be accessed by the pod'
    )
    node.kubectl("delete", "pod", "thief", "second-thief", "never", "--wait=false")


def test_secrets_of_the_service_account(guarded: Guarded) -> None:
    """A pod whose service account carries imagePullSecrets has them; the legacy type works too."""
    node = guarded.node
    guarded.secret("old", legacy=True)
    metadata = {"name": "carrier", "namespace": "default"}
    secrets = [{"name": "old"}]
    node.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata, "imagePullSecrets": secrets})
    node.apply(pod_object("carried", "sleep", "100000", image=guarded.image("legacy"), serviceAccountName="carrier"))
    assert node.running("carried")["spec"]["imagePullSecrets"] == secrets


def test_a_secret_that_is_not_there(guarded: Guarded) -> None:
    """An event names it; the pull is tried all the same."""
    node = guarded.node
    secrets = [{"name": "absent"}, {"name": "gone"}]
    node.apply(pod_object("unlucky", image=guarded.image("shared"), imagePullSecrets=secrets))
    assert node.event_when("unlucky", "FailedToRetrieveImagePullSecret") == (
        "Unable to retrieve some image pull secrets (absent, gone); attempting to pull the image may not succeed."
    )
    assert "authentication required" in guarded.failed("unlucky")
    node.kubectl("delete", "pod", "unlucky", "--wait=false")


def test_a_preloaded_image_is_everybodys(guarded: Guarded) -> None:
    """What an operator imported needs no login, with the default policy."""
    archive = guarded.folder / "preloaded.tar"
    images.build(archive, tag=guarded.image("preloaded"), files={"etc/preloaded": "yes\n"})
    import_image(guarded.node, archive)
    guarded.node.apply(pod_object("preloaded", "sleep", "100000", image=guarded.image("preloaded")))
    guarded.node.running("preloaded")


def test_a_wrong_provider_configuration_stops_the_agent(own_node: Any) -> None:
    """An agent that could not ask its providers does not start; the log says which file and why."""
    node: NodeUnderTest = own_node(imageCredentialProviderConfig="providers.yaml", imageCredentialProviderBinDir=".")
    (node.directory / "providers.yaml").write_text("apiVersion: kubelet.config.k8s.io/v1\nkind: Other\n")
    with pytest.raises(AssertionError, match="the agent ended with 1"):
        node.start()
    assert f"{node.directory / 'providers.yaml'}: kubelet.config.k8s.io/v1 Other is no" in node.log()
    node.agent = None
    node.config.clear()  # so that it can be cleaned up
