"""A network: run its chain of plugins for an attachment, in order, and undo what failed (spec, section 3)."""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cni import config as configs
from cni import result as results
from cni import version
from cni.attachment import AlreadyAttached, Attachment
from cni.cache import CachedAttachment, ResultCache
from cni.config import NetworkConfig, PluginConfig
from cni.errors import (
    BadOutput,
    CNIError,
    NotAttached,
    NotRecorded,
    NotSupported,
    PluginError,
    PluginNotFound,
    UnknownContainer,
)
from cni.plugin import Call, InProcess, invoke
from runtimes.linux.tasks import to_the_end

log = logging.getLogger(__name__)

ADD_TIMEOUT_SECONDS = 120.0
DEL_TIMEOUT_SECONDS = 60.0
CANCELLED_ADD_SECONDS = 2.0


__all__ = ["Attachment", "Network"]


class Network:
    """One network of this node. Verbs on one container queue up behind each other; containers do not wait for each other.

    `add_timeout_seconds`, `del_timeout_seconds` bound one plugin's run each. `in_process`: what is no program, by type.
    """

    def __init__(
        self,
        config: NetworkConfig,
        *,
        bin_dirs: Sequence[Path],
        cache_dir: Path,
        in_process: Mapping[str, InProcess] = MappingProxyType({}),
        add_timeout_seconds: float = ADD_TIMEOUT_SECONDS,
        del_timeout_seconds: float = DEL_TIMEOUT_SECONDS,
    ) -> None:
        self.config = config
        self._bin_dirs = tuple(bin_dirs)
        self._in_process = in_process
        self._cache = ResultCache(cache_dir)
        self._add_timeout_seconds = add_timeout_seconds
        self._del_timeout_seconds = del_timeout_seconds
        self._queues: dict[str, _Queue] = {}

    async def add(self, attachment: Attachment) -> results.Result:
        """Attach; a failed or cancelled ADD is followed by a DEL of the whole chain, and then raised. Raises CNIError.

        What is attached already is left alone: AlreadyAttached, with its result.
        """
        attachment.validate()
        async with self._turn(attachment.container_id):
            self._refuse_second(attachment)
            adding = asyncio.ensure_future(self._add(attachment))
            try:
                return await asyncio.shield(adding)
            except BaseException:
                # cancelling twice must not leave half an attachment behind
                await to_the_end(self._give_up(adding, attachment))
                raise

    async def _give_up(self, adding: "asyncio.Future[results.Result]", attachment: Attachment) -> None:
        """Undo an ADD. One that is still at it gets a moment: host-local killed between making a reservation and writing down
        whose it is would leave an address that no DEL can find."""
        await asyncio.wait({adding}, timeout=CANCELLED_ADD_SECONDS)
        adding.cancel()
        await asyncio.gather(adding, return_exceptions=True)
        await self._undo(attachment)

    async def delete(self, attachment: Attachment) -> None:
        """Detach with the configuration and result that the ADD recorded. Repeatable; a namespace that is gone is fine.

        An empty `netns` tells plugins that there is none. The record stays until every plugin has succeeded.
        A DEL that has begun is brought to its end when the caller is cancelled: of one that is killed in its middle some
        plugins leave what the next DEL does not find (bridge 1.1.1: the rules of ipMasq). Raises CNIError.
        """
        attachment.validate(needs_netns=False)
        async with self._turn(attachment.container_id):
            await to_the_end(self._delete(attachment))

    async def check(self, attachment: Attachment) -> None:
        """Ask the plugins, by configuration and result of the ADD, whether all is as it was left. Raises PluginError if not."""
        attachment.validate()
        if self.config.disable_check:
            return
        if not self.config.supports(version.CHECK):
            raise NotSupported(f"network {self.config.name}: version {self.config.cni_version} has no CHECK")
        async with self._turn(attachment.container_id):
            cached = self._cache.read(self.config.name, attachment.container_id, attachment.ifname)
            if cached is None:
                raise NotAttached(f"network {self.config.name}: container {attachment.container_id} is not attached")
            config = _recorded_config(cached) or self.config
            previous = results.decode(cached.result, config.cni_version)
            attachment = _as_recorded(attachment, cached)
            for plugin in config.plugins:
                await self._invoke(plugin, "CHECK", attachment, self._add_timeout_seconds, previous, config)

    async def status(self) -> None:
        """Ask the plugins whether an ADD could work (from version 1.1.0 on). Raises PluginError if not."""
        if not self.config.supports(version.STATUS):
            return
        for plugin in self.config.plugins:
            call = Call(
                command="STATUS",
                environment={},
                config=plugin_request(self.config, plugin, {}, None),
                timeout_seconds=self._del_timeout_seconds,
            )
            await self._run(plugin, call)

    async def gc(self, valid: Iterable[tuple[str, str]]) -> None:
        """Detach every recorded attachment that is not in `valid` ((container id, ifname) pairs), then run the plugins' GC.

        A namespace that is still pinned where the ADD found it is named to the DEL, one that is gone is not.
        Must not run beside any ADD or DEL of this network. Goes on after errors. Raises ExceptionGroup of them.
        Everything that uses the same cache folder must be in `valid`. Does nothing where the network has `disableGC`.
        """
        if self.config.disable_gc:
            return
        keep = set(valid)
        errors: list[Exception] = []
        for cached in self.cached_attachments():
            if (cached.container_id, cached.ifname) not in keep:
                netns = (
                    cached.netns if os.path.ismount(cached.netns) else ""
                )  # a path below /proc may be another's by now
                stale = Attachment(container_id=cached.container_id, netns=netns, ifname=cached.ifname)
                try:
                    await self.delete(stale)
                except CNIError as error:
                    errors.append(error)
        if self.config.supports(version.GC):
            attachments = [{"containerID": container_id, "ifname": ifname} for container_id, ifname in sorted(keep)]
            for plugin in self.config.plugins:
                request = plugin_request(self.config, plugin, {}, None)
                request |= {"cni.dev/valid-attachments": attachments, "cni.dev/attachments": attachments}
                call = Call(command="GC", environment={}, config=request, timeout_seconds=self._del_timeout_seconds)
                try:
                    await self._run(plugin, call)
                except PluginError as error:
                    errors.append(error)
        if errors:
            raise ExceptionGroup(f"network {self.config.name}: garbage collection", errors)

    def cached_attachments(self) -> list[CachedAttachment]:
        """What is recorded as attached to this network."""
        return list(self._cache.of_network(self.config.name))

    def _refuse_second(self, attachment: Attachment) -> None:
        # a second ADD would fail, and undoing it would take the first one's interface down
        cached = self._cache.read(self.config.name, attachment.container_id, attachment.ifname)
        if cached is not None:
            text = f"network {self.config.name}: container {attachment.container_id} is attached as {attachment.ifname}"
            raise AlreadyAttached(text, results.decode(cached.result, self.config.cni_version))

    async def _add(self, attachment: Attachment) -> results.Result:
        previous: results.Result | None = None
        for plugin in self.config.plugins:
            answer = await self._invoke(plugin, "ADD", attachment, self._add_timeout_seconds, previous)
            try:
                if answer is None:
                    raise BadOutput("the plugin printed no result")
                previous = results.decode(answer, self.config.cni_version)
            except BadOutput as error:
                error.at("ADD", plugin.type)
                raise
        assert previous is not None
        made = CachedAttachment(
            network=self.config.name,
            container_id=attachment.container_id,
            ifname=attachment.ifname,
            netns=attachment.netns,
            config=self.config.source,
            args=tuple(attachment.args.items()),
            capabilities=attachment.capabilities,
            result=results.encode(previous, self.config.cni_version),
        )
        try:
            self._cache.write(made)
        except OSError as error:
            raise NotRecorded(f"network {self.config.name}: the attachment cannot be recorded: {error}") from error
        return previous

    async def _undo(self, attachment: Attachment) -> None:
        try:
            await self._delete(attachment)
        except Exception as error:
            log.warning("network %s: undoing a failed ADD of %s: %s", self.config.name, attachment.container_id, error)

    async def _delete(self, attachment: Attachment) -> None:
        """Every plugin gets its DEL, in reverse; then the error that counts is raised, with the others.

        That is the first one; a plugin that is not installed any more counts least: it may have nothing to undo. One that
        does not know the container has nothing to undo.
        """
        cached = self._cache.read(self.config.name, attachment.container_id, attachment.ifname)
        config, previous = self.config, None
        if cached is not None:
            config = _recorded_config(cached) or config
            with contextlib.suppress(CNIError):
                previous = results.decode(cached.result, config.cni_version)
            attachment = _as_recorded(attachment, cached)
        if not config.supports(version.DEL_PREV_RESULT):
            previous = None
        failures: list[PluginError] = []
        for plugin in reversed(config.plugins):
            try:
                await self._invoke(plugin, "DEL", attachment, self._del_timeout_seconds, previous, config)
            except UnknownContainer as error:
                log.info("network %s: %s", self.config.name, error)
            except PluginError as error:
                failures.append(error)
        if failures:
            counts, *others = sorted(failures, key=lambda error: isinstance(error, PluginNotFound))
            counts.others = tuple(others)
            raise counts
        try:
            self._cache.delete(self.config.name, attachment.container_id, attachment.ifname)
        except OSError as error:
            raise NotRecorded(f"network {self.config.name}: the record cannot be removed: {error}") from error

    async def _invoke(
        self,
        plugin: PluginConfig,
        command: str,
        attachment: Attachment,
        timeout_seconds: float,
        previous: results.Result | None,
        config: NetworkConfig | None = None,
    ) -> Any:
        environment = {
            "CNI_CONTAINERID": attachment.container_id,
            "CNI_NETNS": attachment.netns,
            "CNI_IFNAME": attachment.ifname,
        }
        if attachment.args:
            environment["CNI_ARGS"] = attachment.args_text
        request = plugin_request(config or self.config, plugin, attachment.capabilities, previous)
        call = Call(command=command, environment=environment, config=request, timeout_seconds=timeout_seconds)
        return await self._run(plugin, call)

    async def _run(self, plugin: PluginConfig, call: Call) -> Any:
        inside = self._in_process.get(plugin.type)
        return await (inside(call) if inside is not None else invoke(plugin.type, self._bin_dirs, call))

    @contextlib.asynccontextmanager
    async def _turn(self, container_id: str) -> AsyncIterator[None]:
        """One verb at a time per container (spec: the runtime must not run operations for one container in parallel)."""
        queue = self._queues.setdefault(container_id, _Queue())
        queue.users += 1
        try:
            async with queue.lock:
                yield
        finally:
            queue.users -= 1
            if not queue.users:
                del self._queues[container_id]


def plugin_request(
    config: NetworkConfig, plugin: PluginConfig, capabilities: Mapping[str, Any], previous: results.Result | None
) -> dict[str, Any]:
    """The plugin's configuration as it is sent (spec, section 3, "Deriving execution configuration")."""
    request = {**plugin.raw, "name": config.name, "cniVersion": config.cni_version}
    request.pop("capabilities", None)
    given = {name: capabilities[name] for name in sorted(plugin.capabilities) if name in capabilities}
    if given:
        request["runtimeConfig"] = given
    if previous is not None:
        request["prevResult"] = results.encode(previous, config.cni_version)
    return request


def _recorded_config(cached: CachedAttachment) -> NetworkConfig | None:
    """That of the ADD: it must not change until the DEL, whatever the file says by now. None where the record is damaged."""
    with contextlib.suppress(CNIError):
        return configs.parse(cached.config)
    return None


def _as_recorded(attachment: Attachment, cached: CachedAttachment) -> Attachment:
    """The attachment with the arguments that its ADD had, which CHECK and DEL must have too."""
    return replace(attachment, args=dict(cached.args), capabilities=cached.capabilities)


@dataclass(slots=True)
class _Queue:
    """Who works on one container, and who waits."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0
