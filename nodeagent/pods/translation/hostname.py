"""A pod's host name and domain. Source: docs/facts/pod-lifecycle.md 12.4."""

from dataclasses import dataclass

from nodeagent.podspec.pod import AgentPod

_MAX_HOST_CHARS = 63
_MAX_FQDN_CHARS = 64


class HostnameError(ValueError):
    """The pod cannot have the host name that it asks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodHostname:
    """`host` and `domain` go into /etc/hosts; `kernel` is the name in the pod's UTS namespace."""

    host: str
    domain: str
    kernel: str


def pod_hostname(pod: AgentPod, cluster_domain: str) -> PodHostname:
    """Raises HostnameError when the fully qualified name is wanted and too long for the kernel."""
    spec = pod.spec
    if spec.hostnameOverride:
        name = spec.hostnameOverride[:_MAX_HOST_CHARS]
        return PodHostname(host=name, domain="", kernel=name)
    namespace, pod_name = pod.key
    host = (spec.hostname or pod_name)[:_MAX_HOST_CHARS].rstrip("-.")
    domain = f"{spec.subdomain}.{namespace}.svc.{cluster_domain}" if spec.subdomain else ""
    kernel = host
    if spec.setHostnameAsFQDN and domain:
        kernel = f"{host}.{domain}"
        if len(kernel) > _MAX_FQDN_CHARS:
            raise HostnameError(
                f"failed to construct FQDN from pod hostname and cluster domain, FQDN {kernel} is too long "
                f"({_MAX_FQDN_CHARS} characters is the max, {len(kernel)} characters requested)"
            )
    return PodHostname(host=host, domain=domain, kernel=kernel)
