"""Secrets where they must not be."""

import asyncio
from pathlib import Path
from typing import Any

from csi import errors
from tests.mutants.csi.driver import Mutant


class SecretIsLogged(Mutant):
    """Every request of NodeStageVolume is logged as it comes, with its secrets."""

    caught_by = "X18"

    async def node_stage_volume(self, request: Any) -> Any:
        with (self.settings.state_dir.parent / "log").open("a") as log:
            print("NodeStageVolume", request, file=log)
        return await self.healthy.node_stage_volume(request)


class SecretIsInTheError(Mutant):
    """A refusal quotes the whole request, with its secrets."""

    caught_by = "X18"

    async def node_publish_volume(self, request: Any) -> Any:
        try:
            return await self.healthy.node_publish_volume(request)
        except errors.NotFound as error:
            raise errors.NotFound(f"{error.message}: {request}") from error


class SecretIsAnArgument(Mutant):
    """The secret is an argument of the program that mounts."""

    caught_by = "X18"

    async def node_publish_volume(self, request: Any) -> Any:
        for secret in request.secrets.values():
            mount = await asyncio.create_subprocess_exec("sh", "-c", "sleep 1; : done", secret)
            await mount.wait()
        return await self.healthy.node_publish_volume(request)


class SecretIsInAFile(Mutant):
    """What NodeStageVolume was asked is kept in a file beside the staging path, with its secrets."""

    caught_by = "X18"

    async def node_stage_volume(self, request: Any) -> Any:
        if request.secrets:
            Path(f"{request.staging_target_path}.request").write_bytes(request.SerializeToString())
        return await self.healthy.node_stage_volume(request)
