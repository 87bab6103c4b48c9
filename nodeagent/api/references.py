"""Which secrets and config maps a pod names. Source: facts api-client C.1."""

from collections.abc import Iterator

from lightkube.models.core_v1 import Container, EphemeralContainer, Pod, PodSpec, Volume


def secret_names(pod: Pod) -> frozenset[str]:
    """Names of all secrets that the pod mentions: volumes, env, envFrom, imagePullSecrets."""
    spec = pod.spec
    if spec is None:
        return frozenset()
    names = [reference.name for reference in spec.imagePullSecrets or ()]
    for container in containers(spec):
        names += [source.secretRef.name for source in container.envFrom or () if source.secretRef]
        for variable in container.env or ():
            if variable.valueFrom and variable.valueFrom.secretKeyRef:
                names.append(variable.valueFrom.secretKeyRef.name)
    for volume in spec.volumes or ():
        names += _volume_secrets(volume)
    return frozenset(name for name in names if name)


def config_map_names(pod: Pod) -> frozenset[str]:
    """Names of all config maps that the pod mentions: volumes, env, envFrom."""
    spec = pod.spec
    if spec is None:
        return frozenset()
    names: list[str | None] = []
    for container in containers(spec):
        names += [source.configMapRef.name for source in container.envFrom or () if source.configMapRef]
        for variable in container.env or ():
            if variable.valueFrom and variable.valueFrom.configMapKeyRef:
                names.append(variable.valueFrom.configMapKeyRef.name)
    for volume in spec.volumes or ():
        if volume.configMap:
            names.append(volume.configMap.name)
        for source in (volume.projected.sources if volume.projected else None) or ():
            if source.configMap:
                names.append(source.configMap.name)
    return frozenset(name for name in names if name)


def containers(spec: PodSpec) -> Iterator[Container | EphemeralContainer]:
    """All containers of a pod: init, regular, ephemeral."""
    yield from spec.initContainers or ()
    yield from spec.containers or ()
    yield from spec.ephemeralContainers or ()


def _volume_secrets(volume: Volume) -> Iterator[str | None]:
    if volume.secret:
        yield volume.secret.secretName
    if volume.azureFile:
        yield volume.azureFile.secretName
    for source in (volume.projected.sources if volume.projected else None) or ():
        if source.secret:
            yield source.secret.name
    for plugin in (volume.cephfs, volume.cinder, volume.flexVolume, volume.rbd, volume.scaleIO, volume.storageos):
        if plugin and plugin.secretRef:
            yield plugin.secretRef.name
    if volume.iscsi and volume.iscsi.secretRef:
        yield volume.iscsi.secretRef.name
    if volume.csi and volume.csi.nodePublishSecretRef:
        yield volume.csi.nodePublishSecretRef.name
