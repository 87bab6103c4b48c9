"""Where the API is and how to get in: a kubeconfig file, or the in-cluster files of a service account.

Reading is plain blocking I/O, done once at start. Source: kubeconfig v1 (docs/facts/api-client-and-server.md A.1, A.3).
"""

import base64
import binascii
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from nodeagent.api import kubeconfig_schema as schema
from nodeagent.api.credentials import (
    Anonymous,
    BasicAuth,
    Certificate,
    CertificateFiles,
    Combined,
    Credentials,
    FixedCertificate,
    StaticToken,
    TokenFile,
)
from nodeagent.api.exec_plugin import API_GROUP, API_VERSIONS, ExecCredentials, ExecPlugin
from nodeagent.api.observers import UNOBSERVED, PluginObserver
from nodeagent.api.proxy import check_proxy, environment_proxy
from runtimes.kube import bounded_yaml
from runtimes.kube.json_errors import UNREADABLE

log = logging.getLogger(__name__)

EXEC_EXTENSION = f"{API_GROUP}/exec"


class KubeconfigError(ValueError):
    """The kubeconfig cannot be used; the message names the file and the field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """All that is needed to talk to one API server. `server` has no trailing slash; headers are impersonation.

    `ca_pem`: its authorities; else `ca_file` has them, and may have others later; else they are this machine's own.
    """

    server: str
    namespace: str = "default"
    ca_pem: bytes | None = None
    ca_file: Path | None = None
    insecure_skip_tls_verify: bool = False
    tls_server_name: str = ""
    proxy_url: str = ""
    credentials: Credentials = field(default_factory=Anonymous)
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def host(self) -> str:
        """Of the server, with the port if its URL has one."""
        return self.server.partition("://")[2].partition("/")[0]


Named = TypeVar("Named", schema.NamedCluster, schema.NamedUser, schema.NamedContext)


def load(path: str | Path, context: str = "", plugin_observer: PluginObserver = UNOBSERVED) -> Connection:
    """Read a kubeconfig file; `context` overrides its current-context. A folder: see `in_cluster`. Raises KubeconfigError."""
    path = Path(path)
    if path.is_dir():
        return in_cluster(os.environ, path)
    try:
        document = bounded_yaml.read(path.read_bytes()).value
    except OSError as error:
        raise KubeconfigError(f"{path}: {error.strerror or error}") from error
    except bounded_yaml.YamlError as error:
        raise KubeconfigError(f"{path}: not valid YAML: {error}") from error
    try:
        return parse(document, path.absolute().parent, context, plugin_observer)
    except KubeconfigError as error:
        raise KubeconfigError(f"{path}: {error}") from error.__cause__


def parse(
    document: Any, directory: Path, context: str = "", plugin_observer: PluginObserver = UNOBSERVED
) -> Connection:
    """Turn a decoded kubeconfig into a Connection; relative paths are taken from `directory`. Raises KubeconfigError."""
    if document is None:
        raise KubeconfigError("the file is empty")
    try:
        config = msgspec.convert(_without_nulls(document), schema.Config)
    except UNREADABLE as error:
        raise KubeconfigError(str(error)) from error
    if config.kind != "Config":
        raise KubeconfigError(f"kind is {config.kind!r}, not 'Config'")
    name = context or config.current_context
    if not name:
        raise KubeconfigError("current-context is not set")
    chosen = _find(config.contexts, name, "context").context
    if not chosen.cluster:
        raise KubeconfigError(f"context {name!r} names no cluster")
    cluster = _find(config.clusters, chosen.cluster, "cluster").cluster
    user = (_find(config.users, chosen.user, "user").user if chosen.user else None) or schema.User()
    ca_pem = _bytes_of(
        cluster.certificate_authority_data, cluster.certificate_authority, directory, "certificate-authority"
    )
    in_file = cluster.certificate_authority and not cluster.certificate_authority_data
    ca_file = directory / cluster.certificate_authority if in_file else None
    if ca_file is not None and not (ca_pem or b"").strip():
        raise KubeconfigError(f"certificate-authority: {ca_file} is empty")
    if cluster.insecure_skip_tls_verify and ca_pem:
        raise KubeconfigError("certificate-authority and insecure-skip-tls-verify exclude each other")
    server = _server(cluster.server)
    return Connection(
        server=server,
        namespace=chosen.namespace or "default",
        ca_pem=None if ca_file is not None else ca_pem,
        ca_file=ca_file,
        insecure_skip_tls_verify=cluster.insecure_skip_tls_verify,
        tls_server_name=cluster.tls_server_name,
        proxy_url=_proxy(cluster.proxy_url, server, os.environ),
        credentials=_credentials(user, _plugin(user, cluster, ca_pem, directory, plugin_observer), directory),
        headers=_impersonation(user),
    )


def in_cluster(environ: Mapping[str, str], directory: Path) -> Connection:
    """Return the connection of a pod's service account, whose files the folder has. Raises KubeconfigError outside of a pod."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "")
    if not host or not port:
        raise KubeconfigError("not in a cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined")
    token = directory / "token"
    if not token.is_file():
        raise KubeconfigError(f"{token}: no such file")
    ca, namespace = directory / "ca.crt", directory / "namespace"
    if not ca.is_file():
        log.warning("%s: no such file; the API server is checked by this machine's own authorities", ca)
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    return Connection(
        server=server,
        namespace=namespace.read_text().strip() if namespace.is_file() else "default",
        ca_file=ca if ca.is_file() else None,
        proxy_url=_proxy("", server, environ),
        credentials=TokenFile(str(token)),
    )


def _without_nulls(value: Any) -> Any:
    # kubectl writes `users: null`, `preferences: null`; null is the same as absent
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _find(entries: list[Named] | None, name: str, what: str) -> Named:
    for entry in entries or ():
        if entry.name == name:
            return entry
    raise KubeconfigError(f"{what} {name!r} does not exist")


def _server(server: str) -> str:
    if not server:
        raise KubeconfigError("cluster.server is empty")
    if "://" not in server:
        server = f"http://{server}"
    try:
        parts = urlsplit(server)
        _ = parts.port  # raises ValueError as well
    except ValueError as error:
        raise KubeconfigError(f"cluster.server {server!r} is not a URL: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise KubeconfigError(f"cluster.server {server!r} is not an http or https URL")
    return server.rstrip("/")


def _proxy(url: str, server: str, environ: Mapping[str, str]) -> str:
    """The URL of the proxy: the file's counts before the environment's, and has no exceptions."""
    try:
        return check_proxy(url) if url else environment_proxy(server, environ)
    except ValueError as error:
        raise KubeconfigError(f"cluster.proxy-url: {error}" if url else str(error)) from None


def _bytes_of(data: str, path: str, directory: Path, what: str) -> bytes | None:
    if data:
        try:
            return base64.b64decode(data, validate=True)
        except binascii.Error as error:
            raise KubeconfigError(f"{what}-data is not base64: {error}") from error
    if not path:
        return None
    try:
        return (directory / path).read_bytes()
    except OSError as error:
        raise KubeconfigError(f"{what}: {error.filename}: {error.strerror}") from error


def _plugin(
    user: schema.User, cluster: schema.Cluster, ca_pem: bytes | None, directory: Path, observer: PluginObserver
) -> ExecCredentials | None:
    if user.exec is None:
        return None
    return ExecCredentials(_exec_plugin(user.exec, cluster, ca_pem, directory), observer=observer)


def _credentials(user: schema.User, plugin: ExecCredentials | None, directory: Path) -> Credentials:
    if user.auth_provider is not None:
        raise KubeconfigError("user.auth-provider: these plugins were removed; use exec")
    if (user.token or user.token_file) and (user.username or user.password):
        raise KubeconfigError("user has more than one way to authenticate: token and basic auth")
    certificates = _certificates(user, directory)
    bearer: Credentials
    if user.token_file:
        bearer = TokenFile(str(directory / user.token_file), user.token)
    elif user.token:
        bearer = StaticToken(user.token)
    elif user.username or user.password:
        bearer = BasicAuth(user.username, user.password)
    elif plugin is not None and certificates is None:
        bearer = plugin
    else:
        bearer = Anonymous()
    if certificates is None:
        certificates = plugin if plugin is not None and bearer is plugin else Anonymous()
    return Combined(bearer, certificates)


def _certificates(user: schema.User, directory: Path) -> Credentials | None:
    certificate = bool(user.client_certificate or user.client_certificate_data)
    key = bool(user.client_key or user.client_key_data)
    if not certificate and not key:
        return None
    if certificate != key:
        missing = "client-key" if certificate else "client-certificate"
        raise KubeconfigError(f"user.{missing} is missing: a client certificate needs both")
    if user.client_certificate_data or user.client_key_data:
        pem = _bytes_of(user.client_certificate_data, user.client_certificate, directory, "client-certificate")
        key_pem = _bytes_of(user.client_key_data, user.client_key, directory, "client-key")
        return FixedCertificate(Certificate(pem or b"", key_pem or b""))
    return CertificateFiles(str(directory / user.client_certificate), str(directory / user.client_key))


def _exec_plugin(spec: schema.Exec, cluster: schema.Cluster, ca_pem: bytes | None, directory: Path) -> ExecPlugin:
    if not spec.command:
        raise KubeconfigError("user.exec.command is empty")
    if spec.api_version not in API_VERSIONS:
        raise KubeconfigError(f"user.exec.apiVersion {spec.api_version!r} is not one of {', '.join(API_VERSIONS)}")
    mode = spec.interactive_mode or ("IfAvailable" if spec.api_version.endswith("v1beta1") else "")
    if mode not in ("Never", "IfAvailable", "Always"):
        raise KubeconfigError("user.exec.interactiveMode must be Never, IfAvailable or Always")
    if mode == "Always":
        raise KubeconfigError("user.exec.interactiveMode is Always, but the agent has no terminal to ask on")
    info: dict[str, Any] | None = None
    if spec.provide_cluster_info:
        extensions = {item.name: item.extension for item in cluster.extensions or ()}
        info = {
            "server": cluster.server,
            "tls-server-name": cluster.tls_server_name,
            "insecure-skip-tls-verify": cluster.insecure_skip_tls_verify,
            "certificate-authority-data": base64.b64encode(ca_pem or b"").decode(),
            "proxy-url": cluster.proxy_url,
            "disable-compression": cluster.disable_compression,
            "config": extensions.get(EXEC_EXTENSION),
        }
        info = {key: value for key, value in info.items() if value}
    return ExecPlugin(
        # a bare name is looked up in PATH; a path is taken from the kubeconfig's directory
        command=str(directory / spec.command) if "/" in spec.command else spec.command,
        api_version=spec.api_version,
        args=tuple(spec.args or ()),
        env=tuple((variable.name, variable.value) for variable in spec.env or ()),
        install_hint=spec.install_hint,
        cluster=info,
    )


def _impersonation(user: schema.User) -> tuple[tuple[str, str], ...]:
    headers = []
    if user.act_as:
        headers.append(("Impersonate-User", user.act_as))
    elif user.as_uid or user.as_groups or user.as_user_extra:
        raise KubeconfigError("user.as-uid, as-groups and as-user-extra need user.as")
    if user.as_uid:
        headers.append(("Impersonate-Uid", user.as_uid))
    headers += [("Impersonate-Group", group) for group in user.as_groups or ()]
    for key, values in (user.as_user_extra or {}).items():
        # what cannot stand in a header's name is escaped, and so is the escape
        name = quote(key, safe="!#$&'*+^`|")
        headers += [(f"Impersonate-Extra-{name}", value) for value in values]
    return tuple(headers)
