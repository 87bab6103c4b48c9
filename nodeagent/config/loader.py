"""What is configured: the files, what is laid over them, the options, and the defaults of all that nobody set."""

import dataclasses
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from nodeagent.config import documents, feature_gates, kubelet, layers, runtimes
from nodeagent.config.acted_on import ACTED_ON
from nodeagent.config.agent import NodeAgentConfiguration
from nodeagent.config.documents import ConfigProblem
from nodeagent.config.ignored_fields import IgnoredSetting, ignored_settings
from nodeagent.config.kubelet import KubeletConfiguration
from nodeagent.config.layers import Override
from nodeagent.config.paths import resolve_field, resolve_options, resolve_plain
from nodeagent.tls_policy import TLSPolicy
from runtimes.kube import merge_patch


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line alone decides. Every path can be moved, so that several agents run side by side.

    `as_kubelet`: the files are read with a kubelet's leniency, and its default runtime is used where its socket is.
    `cert_dir` None: in the root folder. `remarks`: what the command line is to be warned of, once there is a log.
    """

    config_file: Path | None = None
    config_dir: Path | None = None
    overrides: tuple[Override, ...] = ()
    as_kubelet: bool = False
    kubeconfig: Path | None = None
    bootstrap_kubeconfig: Path | None = None
    cert_dir: Path | None = None
    external_cloud: bool = False
    schedulable: bool = True
    remarks: tuple[str, ...] = ()
    standalone: bool = False
    root_dir: Path = Path("/var/lib/kubelet")
    state_dir: Path = Path("/var/lib/nodeagent")
    run_dir: Path = Path("/run/nodeagent")
    container_logs_dir: Path = Path("/var/log/containers")
    node_name: str = ""
    node_ip: str = ""
    node_labels: tuple[tuple[str, str], ...] = ()
    image_credential_provider_config: Path | None = None
    image_credential_provider_bin_dir: Path | None = None
    log_level: str = ""  # empty: as the file says
    log_format: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings; every path is absolute. `ignored_settings`: fields of the file that are accepted and have no effect.

    `remarks`: what else there is to be warned of.
    """

    options: Options
    kubelet: KubeletConfiguration
    agent: NodeAgentConfiguration
    ignored_settings: tuple[IgnoredSetting, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def node_name(self) -> str:
        return (self.options.node_name or socket.gethostname()).strip().lower()

    @property
    def pod_logs_dir(self) -> Path:
        return Path(self.kubelet.podLogsDir)

    @property
    def tls_policy(self) -> TLSPolicy:
        return TLSPolicy(
            min_version=self.kubelet.tlsMinVersion,
            cipher_suites=tuple(self.kubelet.tlsCipherSuites),
            curves=tuple(self.kubelet.tlsCurvePreferences),
        )


def load(options: Options) -> Config:
    """Read the files that the options name, if any, and fill in what nobody set. Raises ConfigProblem."""
    options = resolve_options(options)
    read = _read(options)
    kubelet_config = read.documents.get(KubeletConfiguration, KubeletConfiguration())
    agent_config = read.documents.get(NodeAgentConfiguration, NodeAgentConfiguration())
    assert isinstance(kubelet_config, KubeletConfiguration)
    assert isinstance(agent_config, NodeAgentConfiguration)
    given = dict(read.given)
    if options.standalone and given.get("podPidsLimit") is None:
        kubelet_config.podPidsLimit = kubelet.STANDALONE_POD_PIDS
    gates = kubelet_config.featureGates
    remarks = (*options.remarks, *read.remarks, *feature_gates.remarks(gates))
    kubelet_config.featureGates = feature_gates.effective(gates)
    if not agent_config.runtimes:
        asked = given.get("containerRuntimeEndpoint") or ""
        if endpoint := asked or (runtimes.usual_endpoint() if options.as_kubelet else ""):
            images = given.pop("imageServiceEndpoint", None) or ""
            agent_config.runtimes = runtimes.peer(endpoint, images)
        given.pop("containerRuntimeEndpoint", None)
        agent_config.runtimes = agent_config.runtimes or runtimes.detect()
    if not agent_config.defaultRuntime and agent_config.runtimes:
        known = agent_config.runtimes
        agent_config.defaultRuntime = next((name for name in ("runc", "crun") if name in known), next(iter(known)))
    return Config(
        options=options,
        kubelet=kubelet_config,
        agent=agent_config,
        ignored_settings=ignored_settings(given, ACTED_ON),
        remarks=remarks,
    )


@dataclass(slots=True, kw_only=True)
class _Reading:
    """The documents of all files that the options name, with what is laid over them."""

    documents: dict[type[msgspec.Struct], msgspec.Struct] = field(default_factory=dict)
    given: dict[str, Any] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def _read(options: Options) -> _Reading:
    """Raises ConfigProblem."""
    findings = documents.Findings(lenient=options.as_kubelet)
    found = documents.read(options.config_file, findings) if options.config_file is not None else []
    by_kind = {document.kind: document for document in found}
    if options.config_dir is not None or options.overrides:
        own = by_kind.get(KubeletConfiguration) or _nothing()
        by_kind[KubeletConfiguration] = _layered(own, options, findings)
    if findings.problems:
        raise ConfigProblem(findings.problems)
    folder = options.config_file.parent if options.config_file is not None else Path.cwd()
    reading = _Reading(remarks=findings.remarks)
    for kind, document in by_kind.items():
        plain = documents.without_nulls(document.plain)
        bare = documents.Document(kind=kind, plain=plain, places=document.places)
        if (made := documents.converted(bare, folder, findings)) is not None:
            reading.documents[kind] = made
        if kind is KubeletConfiguration:
            reading.given = document.plain
    if findings.problems:
        raise ConfigProblem(findings.problems)
    return reading


def _nothing() -> documents.Document:
    """No file: all that is set is laid over it."""
    plain = {"apiVersion": kubelet.API_VERSION, "kind": kubelet.KIND}
    return documents.Document(kind=KubeletConfiguration, plain=plain, places={(): "the command line"})


def _layered(document: documents.Document, options: Options, findings: documents.Findings) -> documents.Document:
    """Drop-ins, then flags; their relative paths are taken from the working directory. Raises ConfigProblem."""
    plain, places = documents.without_nulls(document.plain), dict(document.places)
    if options.config_dir is not None:
        plain = layers.defaulted(plain)
        try:
            files = layers.drop_ins(options.config_dir)
        except OSError as error:
            raise ConfigProblem([f"{options.config_dir}: cannot be read: {error.strerror or error}"]) from error
        for file in files:
            for each in documents.read(file, findings):
                if each.kind is not KubeletConfiguration:
                    findings.problem(each.places, (), f"{each.kind.__name__}: a drop-in is a {kubelet.KIND}")
                    continue
                plain = merge_patch.apply(plain, resolve_plain(each.plain, each.kind, Path.cwd()))
                places |= {where: place for where, place in each.places.items() if where}
    overrides = [
        dataclasses.replace(each, value=resolve_field(each.value, KubeletConfiguration, each.field, Path.cwd()))
        for each in options.overrides
    ]
    places |= {each.field: each.flag for each in overrides}
    return documents.Document(kind=document.kind, plain=layers.overridden(plain, overrides), places=places)


def replace_options(config: Config, **changes: Any) -> Config:
    """The same configuration with other options."""
    return dataclasses.replace(config, options=dataclasses.replace(config.options, **changes))


__all__ = ["Config", "ConfigProblem", "Options", "load", "replace_options"]
