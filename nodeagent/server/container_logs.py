"""/containerLogs: which run of a container is meant, and what of its log (docs/facts/api-client-and-server.md K)."""

import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiohttp import web
from multidict import MultiMapping

from nodeagent.pods.manager import PodOnNode
from nodeagent.podspec.containers import find_container
from nodeagent.server.log_chain import LogChain, open_log
from nodeagent.server.log_lines import parse_time
from nodeagent.server.log_reader import LogOptions, go_to_start, send_log
from nodeagent.server.pod_lookup import PodLookup, bare_id, status_of
from proto import cri_pb2 as cri
from runtimes.contract import RuntimeService
from runtimes.errors import NotFound, RuntimeFault

_STREAMS = {"All": "", "Stdout": "stdout", "Stderr": "stderr"}
_PULL_PROBLEMS = {"ErrImagePull": "image can't be pulled", "ImagePullBackOff": "trying and failing to pull image"}


class Undecodable(Exception):
    """A parameter is not even of its type."""


class InvalidOptions(Exception):
    """A parameter is out of its range."""


class LogHandlers:
    """`logs_dir`: the folder of all pods' logs; below it no link is followed. `split_streams`: stdout or stderr may be asked for
    alone."""

    def __init__(self, pods: PodLookup, logs_dir: Path | None = None, *, split_streams: bool = False) -> None:
        self._pods = pods
        self._logs_dir = logs_dir
        self._split_streams = split_streams

    async def logs(self, request: web.Request) -> web.StreamResponse:
        try:
            options = log_options(request.query, split_streams=self._split_streams)
            previous = boolean(request.query, "previous")
        except Undecodable:
            return web.json_response({"message": "Unable to decode query."}, status=400)
        except InvalidOptions:
            return web.json_response({"message": "Invalid request."}, status=422)
        stream = request.query.get("stream") or "All"
        if stream != "All" and not self._split_streams:
            text = (
                f'unable to return the given log stream: "{stream}". '
                "Please enable PodLogsQuerySplitStreams feature gate in kubelet"
            )
            return web.Response(status=400, text=text)
        pod_name, name = request.match_info["pod"], request.match_info["container"]
        found = self._pods.find(request.match_info["namespace"], pod_name)
        if found is None:
            return web.Response(status=404, text=f'pod "{pod_name}" does not exist')
        if find_container(found.pod, name) is None:
            return web.Response(status=404, text=f'container "{name}" not found in pod "{pod_name}"')
        full_id, problem = log_instance(found, name, previous=previous)
        if problem:
            return web.Response(status=400, text=problem)
        return await self._send(request, self._pods.runtime_of(found.pod).service, full_id, options)

    async def _send(
        self, request: web.Request, service: RuntimeService, full_id: str, options: LogOptions
    ) -> web.StreamResponse:
        question = cri.ContainerStatusRequest(container_id=bare_id(full_id))
        try:
            answer = await service.container_status(question)
        except RuntimeFault:
            return web.Response(status=400, text=f"unable to retrieve container logs for {full_id}")
        path = Path(answer.status.log_path)
        try:
            running = answer.status.state == cri.CONTAINER_RUNNING
            chain = await open_log(path, self._logs_dir) if running else LogChain(path, self._logs_dir)
        except OSError as error:
            reason = "no such file or directory" if isinstance(error, FileNotFoundError) else str(error)
            text = f'failed to try resolving symlinks in path "{path}": lstat {path}: {reason}'
            return web.Response(status=400, text=text)

        async def is_running() -> bool:
            try:
                now = await service.container_status(question)
            except NotFound:
                return False
            except RuntimeFault:
                return True  # a runtime that does not answer has not ended the container
            return bool(now.status.state == cri.CONTAINER_RUNNING)

        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        response.enable_chunked_encoding()
        with contextlib.closing(chain):
            await go_to_start(chain, options)
            await response.prepare(request)  # the headers go out before the first line is there
            async with contextlib.aclosing(send_log(chain, options, is_running)) as pieces:
                async for piece in pieces:
                    await response.write(piece)
        await response.write_eof()
        return response


def log_options(query: MultiMapping[str], *, split_streams: bool = False) -> LogOptions:
    """Raises Undecodable, InvalidOptions. Without `split_streams` the query's stream says nothing."""
    tail = query.get("tailLines", query.get("tail", ""))
    tail_lines = None if tail == "" or (tail == "all" and "tailLines" not in query) else _integer(tail)
    limit_bytes = _integer(query["limitBytes"]) if query.get("limitBytes") else None
    since_seconds = _integer(query["sinceSeconds"]) if query.get("sinceSeconds") else None
    since = parse_time(query["sinceTime"]) if query.get("sinceTime") else None
    if query.get("sinceTime") and since is None:
        raise Undecodable("sinceTime")
    if since_seconds is not None:
        if since_seconds < 1 or since is not None:
            raise InvalidOptions("sinceSeconds")
        since = _ago(since_seconds)
    if (tail_lines is not None and tail_lines < 0) or (limit_bytes is not None and limit_bytes < 1):
        raise InvalidOptions("out of range")
    stream = _STREAMS.get(query.get("stream") or "All") if split_streams else ""
    if stream is None or (stream and tail_lines is not None):  # a tail is of lines of both
        raise InvalidOptions("stream")
    return LogOptions(
        # the log of an ended run grows no more
        follow=boolean(query, "follow") and not boolean(query, "previous"),
        timestamps=boolean(query, "timestamps"),
        tail_lines=tail_lines,
        since=since,
        limit_bytes=limit_bytes,
        stream=stream,
    )


def boolean(query: Mapping[str, str] | MultiMapping[str], name: str) -> bool:
    """A flag of an API query: given and not said to be false."""
    return name in query and query[name].lower() not in ("false", "0")


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise Undecodable(text) from error


def _ago(seconds: int) -> datetime:
    now = datetime.now(UTC)
    try:
        return now - timedelta(seconds=seconds)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def log_instance(found: PodOnNode, name: str, *, previous: bool) -> tuple[str, str]:
    """(containerID, "") of the run whose log is meant, or ("", why there is none) (docs/facts/api-client-and-server.md K.2)."""
    status = status_of(found, name)
    where = f'container "{name}" in pod "{found.pod.name}"'
    if status is None:
        return "", f"{where} is not available"
    last = status.lastState.terminated if status.lastState is not None else None
    last_id = (last.containerID if last is not None else None) or ""
    if previous:
        return (last_id, "") if last_id else ("", f"previous terminated {where} not found")
    state = status.state
    if state is not None and state.running is not None:
        return status.containerID or "", ""
    if state is not None and state.terminated is not None:
        found_id = state.terminated.containerID or last_id
        return (found_id, "") if found_id else ("", f"{where} is terminated")
    if last_id:
        return last_id, ""
    reason = (state.waiting.reason if state is not None and state.waiting is not None else "") or ""
    return "", f"{where} is waiting to start: {_PULL_PROBLEMS.get(reason, reason)}"
