"""Credentials from an exec plugin: a program that prints an ExecCredential.

Source: client.authentication.k8s.io v1 and v1beta1 (docs/facts/api-client-and-server.md A.4).
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from cryptography import x509
from typing_extensions import override

from nodeagent.api.credentials import Certificate, Credentials, CredentialsError
from nodeagent.api.observers import UNOBSERVED, PluginObserver
from runtimes.kube.json_errors import UNREADABLE
from runtimes.linux import process
from runtimes.linux.tasks import SingleFlight

API_GROUP = "client.authentication.k8s.io"
API_VERSIONS = (f"{API_GROUP}/v1", f"{API_GROUP}/v1beta1")
PLUGIN_TIMEOUT_SECONDS = 60.0
_NOT_RUN = 1  # told for an exit status where there is none


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecPlugin:
    """How to run the plugin. `cluster`: what it is told of the cluster, None: nothing."""

    command: str
    api_version: str
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    install_hint: str = ""
    cluster: Mapping[str, Any] | None = None


class _Status(msgspec.Struct):
    token: str = ""
    clientCertificateData: str = ""  # noqa: N815 - wire name
    clientKeyData: str = ""  # noqa: N815 - wire name
    expirationTimestamp: datetime | None = None  # noqa: N815 - wire name


class _ExecCredential(msgspec.Struct):
    apiVersion: str = ""  # noqa: N815 - wire name
    kind: str = ""
    status: _Status | None = None


class ExecCredentials(Credentials):
    """Runs the plugin when there is nothing cached, it expired, or the API said 401. Callers share one run and what comes of it,
    however long each of them can wait: a slow plugin must not be begun anew by every request that gives up."""

    def __init__(
        self,
        plugin: ExecPlugin,
        *,
        observer: PluginObserver = UNOBSERVED,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._plugin = plugin
        self._observer = observer
        self._now = now
        self._status: _Status | None = None
        self._certificate: Certificate | None = None
        self._flight: SingleFlight[None, _Status] = SingleFlight()

    @override
    async def authorization(self) -> str | None:
        status = await self._current()
        return _header(status)

    @override
    async def certificate(self) -> Certificate | None:
        await self._current()
        return self._certificate

    @override
    def rejected(self, authorization: str | None) -> None:
        """The plugin runs again, once for all the requests that were under way with what it gave last."""
        if self._status is not None and authorization == _header(self._status):
            self._status = None

    async def _current(self) -> _Status:
        status = self._status
        expires_at = status.expirationTimestamp if status else None
        if status is None or (expires_at is not None and expires_at <= self._now()):
            return await self._flight.join(None, self._refresh)
        return status

    async def _refresh(self) -> _Status:
        status = self._status = await self._run()
        self._keep_certificate(status)
        return status

    def _keep_certificate(self, status: _Status) -> None:
        found = None
        if status.clientCertificateData:
            found = Certificate(status.clientCertificateData.encode(), status.clientKeyData.encode())
        if found == self._certificate:
            return
        old, new = _parsed(self._certificate), _parsed(found)
        self._certificate = found
        self._observer.has_certificate(new.not_valid_after_utc if new is not None else None)
        if old is not None:
            self._observer.replaced_certificate((self._now() - old.not_valid_before_utc).total_seconds())

    async def _run(self) -> _Status:
        plugin = self._plugin
        spec: dict[str, Any] = {"interactive": False}
        if plugin.cluster is not None:
            spec["cluster"] = plugin.cluster
        info = {"kind": "ExecCredential", "apiVersion": plugin.api_version, "spec": spec}
        env = {**os.environ, **dict(plugin.env), "KUBERNETES_EXEC_INFO": msgspec.json.encode(info).decode()}
        try:
            done = await process.run((plugin.command, *plugin.args), timeout_seconds=PLUGIN_TIMEOUT_SECONDS, env=env)
        except process.ProgramNotFound as error:
            self._observer.called(_NOT_RUN, "plugin_not_found_error")
            hint = f"\n\n{plugin.install_hint}" if plugin.install_hint else ""
            raise CredentialsError(f"exec: executable {plugin.command} not found{hint}") from error
        except process.ProcessError as error:
            self._observer.called(_NOT_RUN, "client_internal_error")
            raise CredentialsError(f"getting credentials: exec: {error}") from error
        self._observer.called(done.returncode, "no_error" if done.ok else "plugin_execution_error")
        if not done.ok:
            raise CredentialsError(
                f"getting credentials: exec: executable {plugin.command} failed with exit code {done.returncode}: "
                f"{done.error_text}"
            )
        return _parse(done.stdout, plugin.api_version)


def _parsed(certificate: Certificate | None) -> x509.Certificate | None:
    """None too for what is none: TLS will say so."""
    try:
        return x509.load_pem_x509_certificate(certificate.certificate_pem) if certificate is not None else None
    except ValueError:
        return None


def _header(status: _Status) -> str | None:
    return f"Bearer {status.token}" if status.token else None


def _parse(output: bytes, api_version: str) -> _Status:
    try:
        credential = msgspec.json.decode(output, type=_ExecCredential)
    except UNREADABLE as error:
        raise CredentialsError(f"exec plugin didn't return a valid ExecCredential: {error}") from error
    if credential.kind != "ExecCredential" or credential.apiVersion != api_version:
        raise CredentialsError(
            f"exec plugin is configured to use API version {api_version}, plugin returned version "
            f"{credential.apiVersion}"
        )
    status = credential.status
    if status is None:
        raise CredentialsError("exec plugin didn't return a status field")
    if bool(status.clientCertificateData) != bool(status.clientKeyData):
        raise CredentialsError("exec plugin returned only certificate or key, not both")
    if not status.token and not status.clientCertificateData:
        raise CredentialsError("exec plugin didn't return a token or cert/key pair")
    return status
