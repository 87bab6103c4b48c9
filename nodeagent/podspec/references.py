"""Which objects of the API a pod names: secrets, config maps, claims. Source: docs/facts/api-client.md C.1."""

from collections.abc import Iterable, Iterator

from lightkube.models.core_v1 import Container, EphemeralContainer, PodSpec, Volume, VolumeProjection


def secret_names(spec: PodSpec) -> frozenset[str]:
    """Names of all secrets that the pod mentions: volumes, env, envFrom, imagePullSecrets."""
    names = [reference.name for reference in spec.imagePullSecrets or ()]
    for container in _containers(spec):
        names += [source.secretRef.name for source in container.envFrom or () if source.secretRef]
        for variable in container.env or ():
            if variable.valueFrom and variable.valueFrom.secretKeyRef:
                names.append(variable.valueFrom.secretKeyRef.name)
    for volume in spec.volumes or ():
        names += _volume_secrets(volume)
    return frozenset(name for name in names if name)


def config_map_names(spec: PodSpec) -> frozenset[str]:
    """Names of all config maps that the pod mentions: volumes, env, envFrom."""
    names: list[str | None] = []
    for container in _containers(spec):
        names += [source.configMapRef.name for source in container.envFrom or () if source.configMapRef]
        for variable in container.env or ():
            if variable.valueFrom and variable.valueFrom.configMapKeyRef:
                names.append(variable.valueFrom.configMapKeyRef.name)
    for volume in spec.volumes or ():
        if volume.configMap:
            names.append(volume.configMap.name)
        names += [source.configMap.name for source in _projections(volume) if source.configMap]
    return frozenset(name for name in names if name)


def mounted_secret_names(spec: PodSpec) -> frozenset[str]:
    """Names of the secrets whose content is files of the pod: of mounted secret and projected volumes."""
    names: list[str | None] = []
    for volume in _mounted(spec):
        if volume.secret:
            names.append(volume.secret.secretName)
        names += [source.secret.name for source in _projections(volume) if source.secret]
    return frozenset(name for name in names if name)


def mounted_config_map_names(spec: PodSpec) -> frozenset[str]:
    """Names of the config maps whose content is files of the pod: of mounted configMap and projected volumes."""
    names: list[str | None] = []
    for volume in _mounted(spec):
        if volume.configMap:
            names.append(volume.configMap.name)
        names += [source.configMap.name for source in _projections(volume) if source.configMap]
    return frozenset(name for name in names if name)


def claim_names(pod_name: str, volumes: Iterable[Volume]) -> list[str]:
    """The claims of a pod's volumes, in their order. That of an ephemeral one is named after the pod and the volume."""
    names: list[str] = []
    for volume in volumes:
        if volume.persistentVolumeClaim:
            names.append(volume.persistentVolumeClaim.claimName)
        elif volume.ephemeral:
            names.append(f"{pod_name}-{volume.name}")
    return names


def _containers(spec: PodSpec) -> Iterator[Container | EphemeralContainer]:
    """All containers of a pod: init, regular, ephemeral."""
    yield from spec.initContainers or ()
    yield from spec.containers or ()
    yield from spec.ephemeralContainers or ()


def _mounted(spec: PodSpec) -> Iterator[Volume]:
    used = {mount.name for container in _containers(spec) for mount in container.volumeMounts or ()}
    yield from (volume for volume in spec.volumes or () if volume.name in used)


def _projections(volume: Volume) -> list[VolumeProjection]:
    return (volume.projected.sources if volume.projected else None) or []


def _volume_secrets(volume: Volume) -> Iterator[str | None]:
    if volume.secret:
        yield volume.secret.secretName
    if volume.azureFile:
        yield volume.azureFile.secretName
    yield from (source.secret.name for source in _projections(volume) if source.secret)
    for plugin in (volume.cephfs, volume.cinder, volume.flexVolume, volume.rbd, volume.scaleIO, volume.storageos):
        if plugin and plugin.secretRef:
            yield plugin.secretRef.name
    if volume.iscsi and volume.iscsi.secretRef:
        yield volume.iscsi.secretRef.name
    if volume.csi and volume.csi.nodePublishSecretRef:
        yield volume.csi.nodePublishSecretRef.name
