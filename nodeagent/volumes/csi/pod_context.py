"""What a driver is told of the pod, in the volume's context or among its secrets. Pure. Source: docs/facts/storage.md 10.3."""

from collections.abc import Mapping
from datetime import UTC

import msgspec

from csi.endpoint import TOKENS
from nodeagent.api.tokens import Token
from nodeagent.podspec.pod import AgentPod

_PREFIX = "csi.storage.k8s.io/"


def pod_info(pod: AgentPod, *, ephemeral: bool) -> dict[str, str]:
    """Of a driver with podInfoOnMount."""
    return {
        f"{_PREFIX}pod.name": pod.name,
        f"{_PREFIX}pod.namespace": pod.namespace,
        f"{_PREFIX}pod.uid": pod.uid,
        f"{_PREFIX}serviceAccount.name": service_account(pod),
        f"{_PREFIX}ephemeral": "true" if ephemeral else "false",
    }


def tokens(by_audience: Mapping[str, Token]) -> dict[str, str]:
    """All of a driver's tokens as one entry."""
    shown = {
        audience: {
            "token": token.value,
            "expirationTimestamp": f"{token.expires_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        }
        for audience, token in by_audience.items()
    }
    return {TOKENS: msgspec.json.encode(shown).decode()}


def service_account(pod: AgentPod) -> str:
    return pod.spec.serviceAccountName or pod.spec.serviceAccount or "default"
