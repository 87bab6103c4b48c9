"""Which objects of the API pods name."""

import msgspec
from lightkube.models.core_v1 import PodSpec

from nodeagent.podspec.references import (
    claim_names,
    config_map_names,
    mounted_config_map_names,
    mounted_secret_names,
    secret_names,
)


def test_all_kinds_of_references_are_found() -> None:
    """Every place of a pod spec that can name a secret, a config map or a claim is looked at."""
    env = [
        {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s-env", "key": "k"}}},
        {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "c-env", "key": "k"}}},
    ]
    env_from = [{"secretRef": {"name": "s-from"}}, {"configMapRef": {"name": "c-from"}}]
    sources = [{"secret": {"name": "s-proj"}}, {"configMap": {"name": "c-proj"}}]
    spec = {
        "imagePullSecrets": [{"name": "s-pull"}],
        "containers": [{"name": "a", "env": env}],
        "initContainers": [{"name": "b", "envFrom": env_from}],
        "ephemeralContainers": [{"name": "c", "envFrom": [{"secretRef": {"name": "s-eph"}}]}],
        "volumes": [
            {"name": "1", "secret": {"secretName": "s-vol"}},
            {"name": "2", "configMap": {"name": "c-vol"}},
            {"name": "3", "projected": {"sources": sources}},
            {"name": "4", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "s-csi"}}},
            {"name": "5", "iscsi": {"iqn": "i", "lun": 0, "targetPortal": "t", "secretRef": {"name": "s-iscsi"}}},
            {"name": "6", "azureFile": {"secretName": "s-azure", "shareName": "s"}},
            {"name": "7", "persistentVolumeClaim": {"claimName": "v-claim"}},
            {"name": "8", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
        ],
    }
    found = msgspec.convert(spec, PodSpec)
    assert sorted(secret_names(found)) == [
        "s-azure",
        "s-csi",
        "s-env",
        "s-eph",
        "s-from",
        "s-iscsi",
        "s-proj",
        "s-pull",
        "s-vol",
    ]
    assert sorted(config_map_names(found)) == ["c-env", "c-from", "c-proj", "c-vol"]
    assert claim_names("p", found.volumes or ()) == ["v-claim", "p-8"]


def test_files_are_of_mounted_volumes() -> None:
    """A volume that no container mounts brings nobody's files."""
    volumes = [{"name": "a", "secret": {"secretName": "s"}}, {"name": "b", "configMap": {"name": "c"}}]
    mounts = [{"name": "b", "mountPath": "/b"}]
    spec = msgspec.convert({"containers": [{"name": "a", "volumeMounts": mounts}], "volumes": volumes}, PodSpec)
    assert (secret_names(spec), mounted_secret_names(spec)) == ({"s"}, frozenset())
    assert (config_map_names(spec), mounted_config_map_names(spec)) == ({"c"}, {"c"})
