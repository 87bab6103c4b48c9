"""How much an environment and a command line may be: what is over it is a ConfigError before it is made."""

import base64
import tracemalloc
from typing import Any

import pytest
from lightkube.models.core_v1 import ConfigMap, Secret
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.pods.translation.container_config import ContainerContext, container_config
from nodeagent.pods.translation.environment import ConfigError, EnvironmentSources, resolve_environment
from nodeagent.podspec.containers import ContainerKind
from proto import cri_pb2 as cri

MIB = 1024 * 1024


class Objects:
    """A large ConfigMap and a large Secret."""

    async def get_config_map(self, namespace: str, name: str) -> ConfigMap:
        return ConfigMap(metadata=ObjectMeta(name=name), data={f"k{n}": "x" * 1000 for n in range(1000)})

    async def get_secret(self, namespace: str, name: str) -> Secret:
        return Secret(metadata=ObjectMeta(name=name), data={"k": base64.b64encode(b"\xff" * (MIB - 10)).decode()})


async def configure(pod_of: Any, **container: Any) -> cri.ContainerConfig:
    """The container's configuration, its memory measured."""
    pod = pod_of({"containers": [{"name": "c", "image": "i", **container}], "serviceAccountName": "x"})
    environment = await resolve_environment(pod, pod.spec.containers[0], EnvironmentSources(objects=Objects()))
    return container_config(
        ContainerContext(
            pod=pod,
            container=pod.spec.containers[0],
            kind=ContainerKind.REGULAR,
            image=cri.Image(),
            image_ref="i",
            restart_count=0,
            environment=environment,
        )
    )


def doubling(count: int) -> list[dict[str, str]]:
    """64 bytes, then each variable twice the one before."""
    first = {"name": "A0", "value": "x" * 64}
    return [first, *({"name": f"A{n}", "value": f"$(A{n - 1})$(A{n - 1})"} for n in range(1, count))]


def env_from(kind: str, count: int, prefix: str = "") -> list[dict[str, Any]]:
    return [{kind: {"name": "large"}, "prefix": f"{prefix}{n}_"} for n in range(count)]


ALL = "environment and command line are larger than 2097152 bytes in all"
INSIDE = "larger than 1048576 bytes when its variables are put in"


@pytest.mark.parametrize(
    ("container", "message"),
    [
        ({"env": doubling(28)}, "environment variable A14 is larger than 1048576 bytes"),
        ({"env": [*doubling(14), {"name": "B", "value": "$(A13)" * 3}]}, f"environment variable B is {INSIDE}"),
        ({"env": [{"name": "A", "value": "x" * MIB}]}, "environment variable A is larger than 1048576 bytes"),
        ({"envFrom": env_from("configMapRef", 1000)}, ALL),
        ({"envFrom": env_from("secretRef", 1000)}, ALL),
        ({"envFrom": env_from("configMapRef", 1, "p" * MIB)}, "an environment variable of envFrom is larger than"),
        (
            {"envFrom": [{"configMapRef": {"name": "large"}}] * 300},
            "environment variables are set more than 262144 times",
        ),
        ({"env": doubling(10), "args": ["$(A9)" * 100]}, f"a word of args is {INSIDE}"),
        ({"env": doubling(10), "command": ["$(A9)"] * 100}, ALL),
        ({"env": doubling(10), "args": ["$(A9)"] * 100}, ALL),
        ({"env": doubling(10), "command": ["$(A9)"] * 31, "args": ["$(A9)"] * 32}, ALL),
    ],
)
async def test_what_is_over_the_budget_is_not_made(pod_of: Any, container: dict[str, Any], message: str) -> None:
    """Of each kind: the error is the user's to read, and the memory taken is that of the budget, not of what was asked."""
    tracemalloc.start()
    try:
        with pytest.raises(ConfigError) as caught:
            await configure(pod_of, **container)
        assert message in str(caught.value)
        assert tracemalloc.get_traced_memory()[1] < 40 * MIB
    finally:
        tracemalloc.stop()


async def test_what_is_within_the_budget_is_as_ever(pod_of: Any) -> None:
    """One variable of a MiB less its name, another set again and again, and words that fill the rest."""
    again = [{"name": "B", "value": "y" * 900_000}] * 20
    env = [{"name": "A", "value": "x" * (MIB - 10)}, *again, {"name": "B", "value": "z"}]
    config = await configure(pod_of, env=env, command=["$(B)$(B)"], args=["$(A)"])
    assert {entry.key: len(entry.value) for entry in config.envs} == {"A": MIB - 10, "B": 1}
    assert (list(config.command), len(config.args[0])) == (["zz"], MIB - 10)
