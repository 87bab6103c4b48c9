"""Configuration files: KubeletConfiguration and NodeAgentConfiguration, with all that is derived from them at start."""

import json
from typing import Any

import yaml

from nodeagent.config.loader import ConfigProblem, Options, load
from nodeagent.images.providers.config import ProviderProblem, read_providers
from tests.fuzz import scratch
from tests.fuzz.contract import Target
from tests.fuzz.grammar import lines, near
from tests.fuzz.samples import AGENT, KUBELET


def _config(data: bytes) -> None:
    load(Options(config_file=scratch.file("config.yaml", data)))


def _yaml(document: Any) -> bytes:
    plain = json.loads(json.dumps(document).replace("\\ud800", "?"))
    return yaml.dump(plain, Dumper=yaml.CSafeDumper, allow_unicode=True).encode()


def _two(document: Any) -> bytes:
    return _yaml(document) + b"\n---\n" + _yaml(AGENT)


_PROVIDERS: Any = {
    "apiVersion": "kubelet.config.k8s.io/v1",
    "kind": "CredentialProviderConfig",
    "providers": [
        {
            "name": "p",
            "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
            "matchImages": ["*.reg.io:5000/x"],
            "defaultCacheDuration": "1h",
            "args": ["a"],
            "env": [{"name": "A", "value": "b"}],
        }
    ],
}
_WORDS = (
    "a: ",
    "&a ",
    "*a",
    "[",
    "]",
    "<<: *a",
    "1e400",
    "2026-99-99",
    "!!binary ",
    "!!int ",
    "? ",
    "---\n",
    "0o9",
    "1:99",
)

TARGETS = (
    Target(
        name="configuration",
        run=_config,
        allowed=(ConfigProblem,),
        inputs=near(KUBELET, AGENT, dump=_yaml)
        | near(KUBELET, dump=_two)
        | lines(_WORDS, ("apiVersion: kubelet.config.k8s.io/v1beta1", "kind: KubeletConfiguration", "maxPods: 1")),
        words=(
            b"2026-99-99",
            b"!!int x",
            b"&a [*a]",
            b"99999999999h",
            b"!!timestamp 2026",
            *(word.encode() for word in _WORDS),
        ),
    ),
    Target(
        name="credential-providers",
        run=lambda data: read_providers(scratch.file("providers.yaml", data)),
        allowed=(ProviderProblem,),
        inputs=near(_PROVIDERS, dump=_yaml),
        words=(b"2026-99-99", b"!!int x", b"&a [*a]", b"99999999999h"),
    ),
)
