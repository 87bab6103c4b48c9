"""The programs and sockets that do the work: OCI runtimes, CRI endpoints, conmon, image tools. Each is really asked."""

import asyncio
import shutil
import tempfile
from pathlib import Path

import grpc

from nodeagent.assembly.runtimes import BUILT_IN
from nodeagent.cli.check.finding import Finding, State, absent, degraded, found, missing
from nodeagent.config import Config, RuntimeSettings
from proto import cri_pb2
from runtimes import errors
from runtimes.linux import process
from runtimes.oci.traits.probe import probe
from runtimes.plugins import factories

_ASK_SECONDS = 20.0
_SECCOMP_PROFILE = Path("/usr/share/containers/seccomp.json")
_PACKAGES = {"runc": "runc", "crun": "crun", "runsc": "runsc"}


async def examine(config: Config) -> list[Finding]:
    runtimes = config.agent.runtimes
    if not runtimes:
        return [missing("runtimes", "runtime", "none is configured and none was found", "apt-get install runc")]
    findings = [
        *await asyncio.gather(
            *(_runtime(name, settings, name == config.agent.defaultRuntime) for name, settings in runtimes.items())
        )
    ]
    oci_is_default = runtimes[config.agent.defaultRuntime].type == "oci"
    if any(settings.type == "oci" for settings in runtimes.values()):
        tools = await asyncio.gather(
            _program("conmon", config.agent.conmon or "conmon", "conmon", required=oci_is_default),
            _program("skopeo", "skopeo", "skopeo", required=False, without="images can be imported, but not pulled"),
            _program(
                "catatonit", "catatonit", "catatonit", required=False, without="no shared PID namespace, no gVisor"
            ),
        )
        findings += [*tools, _seccomp_profile()]
    return findings


async def _runtime(name: str, settings: RuntimeSettings, is_default: bool) -> Finding:
    label = f"{name} (default)" if is_default else name
    if settings.type == "oci":
        finding = await _oci(label, settings)
    elif settings.type == "cri":
        finding = await _cri(label, settings)
    elif settings.type in factories(BUILT_IN):
        finding = found("runtimes", label, f"type {settings.type}")
    else:
        fix = "install the package that provides it, or correct runtimes in the configuration"
        finding = missing("runtimes", label, f"no installed package provides type {settings.type}", fix)
    if finding.state is State.MISSING and not is_default:
        return absent(finding.group, finding.name, finding.detail, finding.fix)
    return finding


async def _oci(label: str, settings: RuntimeSettings) -> Finding:
    """Ask the program who it is; runc and crun also whether they can do their first step on this host."""
    package = _PACKAGES.get(Path(settings.path).name)
    fix = f"apt-get install {package}" if package else "correct runtimes in the configuration"
    try:
        probed = await probe(settings.path)
        with tempfile.TemporaryDirectory(prefix="nodeagent-check-") as root:
            argv = [settings.path, *settings.args, "--root", root, "list"]
            done = await process.run(argv, timeout_seconds=_ASK_SECONDS)
    except (errors.RuntimeFault, process.ProcessError) as error:
        return missing("runtimes", label, str(error), fix)
    if not done.ok:
        return missing("runtimes", label, f"{settings.path} list: {done.error_text}", fix)
    return found("runtimes", label, f"{probed.name or 'other'} {probed.version} at {settings.path}")


async def cri_versions(config: Config) -> tuple[tuple[str, str], ...]:
    """(name, version) of the runtimes that are servers of their own; those that do not answer are left out."""
    servers = [settings for settings in config.agent.runtimes.values() if settings.type == "cri"]
    answers = await asyncio.gather(*map(_cri_version, servers))
    return tuple({(each.runtime_name, each.runtime_version) for each in answers if not isinstance(each, str)})


async def _cri(label: str, settings: RuntimeSettings) -> Finding:
    fix = "start the runtime, or correct its endpoint in the configuration"
    answer = await _cri_version(settings)
    if isinstance(answer, str):
        return missing("runtimes", label, f"{settings.endpoint}: {answer}", fix)
    return found("runtimes", label, f"{answer.runtime_name} {answer.runtime_version} at {settings.endpoint}")


async def _cri_version(settings: RuntimeSettings) -> cri_pb2.VersionResponse | str:
    """The server's answer, or why there is none."""
    async with grpc.aio.insecure_channel(settings.endpoint) as channel:
        version = channel.unary_unary(
            "/runtime.v1.RuntimeService/Version",
            request_serializer=cri_pb2.VersionRequest.SerializeToString,
            response_deserializer=cri_pb2.VersionResponse.FromString,
        )
        try:
            answer: cri_pb2.VersionResponse = await version(cri_pb2.VersionRequest(), timeout=_ASK_SECONDS)
        except grpc.aio.AioRpcError as error:
            return error.details() or error.code().name
    return answer


async def _program(name: str, program: str, package: str, *, required: bool, without: str = "") -> Finding:
    group = "programs"
    path = shutil.which(program)
    fix = f"apt-get install {package}"
    problem = f"{program} is not on PATH"
    if path is not None:
        try:
            done = await process.run([path, "--version"], timeout_seconds=_ASK_SECONDS)
            if done.ok:
                version = (done.stdout or done.stderr).decode(errors="replace").strip().partition("\n")[0]
                return found(group, name, f"{version} at {path}")
            problem = f"{path} --version: {done.error_text}"
        except process.ProcessError as error:
            problem = str(error)
    text = f"{problem}: {without}" if without else problem
    return missing(group, name, text, fix) if required else absent(group, name, text, fix)


def _seccomp_profile() -> Finding:
    if _SECCOMP_PROFILE.is_file():
        return found("programs", "seccomp profile", str(_SECCOMP_PROFILE))
    detail = f"{_SECCOMP_PROFILE} is missing: pods with the RuntimeDefault profile fail"
    return degraded("programs", "seccomp profile", detail, "apt-get install golang-github-containers-common")
