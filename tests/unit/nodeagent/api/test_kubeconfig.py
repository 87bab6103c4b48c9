"""Kubeconfig files: every field that matters, and a clear word for every mistake."""

import asyncio
import base64
import dataclasses
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from typing_extensions import override

from nodeagent.api import kubeconfig
from nodeagent.api.certificates import self_signed
from nodeagent.api.credentials import Certificate, CertificateFiles, CredentialsError, TokenFile
from nodeagent.api.exec_plugin import ExecCredentials, ExecPlugin
from nodeagent.api.kubeconfig import KubeconfigError
from nodeagent.api.observers import Unobserved


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def document(cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "preferences": None,
        "current-context": "c",
        "clusters": [{"name": "k", "cluster": {"server": "https://h:6443/", **(cluster or {})}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "ns"}}],
    }


async def test_data_fields(tmp_path: Path) -> None:
    """Embedded CA, certificate and key are decoded; server loses its trailing slash; the namespace is the context's."""
    found = kubeconfig.parse(
        document(
            {"certificate-authority-data": b64("CA"), "tls-server-name": "other"},
            {"client-certificate-data": b64("CERT"), "client-key-data": b64("KEY")},
        ),
        tmp_path,
    )
    assert (found.server, found.namespace, found.ca_pem, found.tls_server_name) == (
        "https://h:6443",
        "ns",
        b"CA",
        "other",
    )
    assert await found.credentials.certificate() == Certificate(b"CERT", b"KEY")
    assert await found.credentials.authorization() is None


async def test_relative_files(tmp_path: Path) -> None:
    """Relative paths are taken from the kubeconfig's folder; tokenFile wins over token."""
    for name in ("ca", "crt", "key", "tok"):
        (tmp_path / name).write_text(f"{name}\n")
    file = tmp_path / "config"
    user = {"client-certificate": "crt", "client-key": "key", "tokenFile": "tok", "token": "old"}
    file.write_text(yaml.safe_dump(document({"certificate-authority": "ca"}, user)))
    found = kubeconfig.load(file)
    assert (found.ca_pem, found.ca_file) == (None, tmp_path / "ca")
    assert await found.credentials.certificate() == Certificate(b"crt\n", b"key\n")
    assert await found.credentials.authorization() == "Bearer tok"


async def test_basic_auth_and_impersonation(tmp_path: Path) -> None:
    """username and password become basic auth; as-* become impersonation headers."""
    user = {
        "username": "a",
        "password": "b",
        "as": "me",
        "as-uid": "7",
        "as-groups": ["g", "h"],
        "as-user-extra": {"k": ["v"], "example.org/p%q": ["w"]},
    }
    found = kubeconfig.parse(document(user=user), tmp_path)
    assert await found.credentials.authorization() == f"Basic {b64('a:b')}"
    assert found.headers == (
        ("Impersonate-User", "me"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Group", "g"),
        ("Impersonate-Group", "h"),
        ("Impersonate-Extra-k", "v"),
        ("Impersonate-Extra-example.org%2Fp%25q", "w"),
    )


def test_proxies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """proxy-url counts before the environment, and NO_PROXY has no say in it; an unusable variable is named."""
    monkeypatch.setenv("HTTPS_PROXY", "http://env:1")
    monkeypatch.setenv("NO_PROXY", "h")
    assert kubeconfig.parse(document({"proxy-url": "socks5://x"}), tmp_path).proxy_url == "socks5://x"
    assert kubeconfig.parse(document(), tmp_path).proxy_url == ""
    monkeypatch.setenv("NO_PROXY", "h:1")
    assert kubeconfig.parse(document(), tmp_path).proxy_url == "http://env:1"
    monkeypatch.setenv("HTTPS_PROXY", "ftp://me:secret@env")
    with pytest.raises(KubeconfigError, match=r"^the environment's HTTPS_PROXY: ftp: only"):
        kubeconfig.parse(document(), tmp_path)


@pytest.mark.parametrize(
    ("cluster", "user", "message"),
    [
        ({"server": ""}, None, "cluster.server is empty"),
        ({"server": "ftp://x"}, None, "is not an http or https URL"),
        ({"server": "https://[x"}, None, "is not a URL"),
        ({"server": "https://x:port"}, None, "is not a URL"),
        ({"certificate-authority-data": "%%"}, None, "certificate-authority-data is not base64"),
        ({"certificate-authority": "/nope"}, None, "certificate-authority: /nope: No such file"),
        ({"certificate-authority": "/dev/null"}, None, "certificate-authority: /dev/null is empty"),
        (
            {"certificate-authority-data": b64("x"), "insecure-skip-tls-verify": True},
            None,
            "certificate-authority and insecure-skip-tls-verify exclude each other",
        ),
        ({"proxy-url": "ftp://x"}, None, "cluster.proxy-url: ftp: only http, https and socks5 proxies"),
        ({"insecure-skip-tls-verify": "yes"}, None, r"Expected `bool`.*insecure-skip-tls-verify"),
        (None, {"client-certificate-data": b64("x")}, "user.client-key is missing"),
        (None, {"client-key-data": b64("x")}, "user.client-certificate is missing"),
        (None, {"auth-provider": {"name": "gcp"}}, "user.auth-provider"),
        (None, {"token": "x", "username": "y"}, "more than one way to authenticate"),
        (None, {"as-uid": "x"}, "need user.as"),
        (None, {"exec": {"apiVersion": "client.authentication.k8s.io/v1"}}, "user.exec.command is empty"),
        (None, {"exec": {"command": "x", "apiVersion": "v7"}}, "user.exec.apiVersion 'v7'"),
        (
            None,
            {"exec": {"command": "x", "apiVersion": "client.authentication.k8s.io/v1"}},
            "user.exec.interactiveMode must be",
        ),
    ],
)
def test_mistakes_are_named(
    tmp_path: Path, cluster: dict[str, Any] | None, user: dict[str, Any] | None, message: str
) -> None:
    """Each mistake is one error that names the field."""
    with pytest.raises(KubeconfigError, match=message):
        kubeconfig.parse(document(cluster, user), tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("a: [", "not valid YAML"),
        ("[]", "Expected `object`"),
        ("kind: Pod", "kind is 'Pod', not 'Config'"),
        ("{}", "current-context is not set"),
        ("current-context: x", "context 'x' does not exist"),
        ("{current-context: x, contexts: [{name: x, context: {cluster: z}}]}", "cluster 'z' does not exist"),
    ],
)
def test_broken_files(tmp_path: Path, text: str, message: str) -> None:
    """A file that is no kubeconfig is an error with the file's name in it."""
    file = tmp_path / "config"
    file.write_text(text)
    with pytest.raises(KubeconfigError, match=message) as caught:
        kubeconfig.load(file)
    assert str(file) in str(caught.value)
    with pytest.raises(KubeconfigError, match="No such file"):
        kubeconfig.load(tmp_path / "missing")


async def test_in_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A folder is a service account's: its files and the environment give the connection; IPv6 hosts get brackets."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    with pytest.raises(KubeconfigError, match="not in a cluster"):
        kubeconfig.load(tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    with pytest.raises(KubeconfigError, match="token: no such file"):
        kubeconfig.load(tmp_path)
    for name, text in (("token", "t\n"), ("ca.crt", "CA"), ("namespace", "kube-system")):
        (tmp_path / name).write_text(text)
    found = kubeconfig.load(tmp_path)
    assert (found.server, found.namespace, found.ca_file) == (
        "https://[fd00::1]:443",
        "kube-system",
        tmp_path / "ca.crt",
    )
    assert await found.credentials.authorization() == "Bearer t"
    assert not caplog.messages
    (tmp_path / "ca.crt").unlink()
    assert kubeconfig.load(tmp_path).ca_file is None
    assert "this machine's own authorities" in caplog.text


async def test_token_file_is_read_again(tmp_path: Path) -> None:
    """A token file is read again after 50 s and after a 401; what cannot be read keeps the old token."""
    seconds = [0.0]
    file = tmp_path / "token"
    source = TokenFile(str(file), clock=lambda: seconds[0])
    with pytest.raises(CredentialsError):
        await source.authorization()
    file.write_text("one\n")
    assert await source.authorization() == "Bearer one"
    file.write_text("two\n")
    seconds[0] = 49.9
    assert await source.authorization() == "Bearer one"
    seconds[0] = 50.0
    assert await source.authorization() == "Bearer two"
    file.write_text("three")
    source.rejected(None)
    assert await source.authorization() == "Bearer three"
    file.write_text(" ")
    source.rejected(None)
    assert await source.authorization() == "Bearer three"


async def test_rotated_certificate_files(tmp_path: Path) -> None:
    """A replaced certificate is seen after 10 s; an unchanged one stays the same object."""
    seconds = [0.0]
    for name in ("crt", "key"):
        (tmp_path / name).write_text("1")
    source = CertificateFiles(str(tmp_path / "crt"), str(tmp_path / "key"), clock=lambda: seconds[0])
    first = await source.certificate()
    seconds[0] = 10.0
    assert await source.certificate() is first
    (tmp_path / "crt").write_text("2")
    seconds[0] = 19.0
    assert await source.certificate() is first
    seconds[0] = 20.0
    assert await source.certificate() == Certificate(b"2", b"1")


def plugin(tmp_path: Path, program: str, **fields: Any) -> ExecPlugin:
    file = tmp_path / "plugin.py"
    file.write_text(program)
    version = "client.authentication.k8s.io/v1"
    return ExecPlugin(command=sys.executable, api_version=version, args=("-S", str(file)), **fields)


GIVING_A_COUNT = """
import json, os, pathlib
info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
assert info["spec"]["interactive"] is False and info["spec"]["cluster"] == {"server": "s"}, info
file = pathlib.Path(os.environ["COUNT"])
count = len(file.read_text()) + 1 if file.exists() else 1
file.write_text("x" * count)
status = {"token": f"t{count}", "expirationTimestamp": "2026-01-01T00:00:00Z"}
print(json.dumps({"kind": "ExecCredential", "apiVersion": info["apiVersion"], "status": status}))
"""


async def test_exec_plugin(tmp_path: Path) -> None:
    """The plugin's token is used until it expires or the API says 401 to it; then the plugin runs again."""
    now = [datetime(2025, 1, 1, tzinfo=UTC)]
    env = (("COUNT", str(tmp_path / "count")),)
    source = ExecCredentials(plugin(tmp_path, GIVING_A_COUNT, env=env, cluster={"server": "s"}), now=lambda: now[0])
    assert [await source.authorization() for _ in range(2)] == ["Bearer t1", "Bearer t1"]
    source.rejected("Bearer t1")
    assert await source.authorization() == "Bearer t2"
    source.rejected("Bearer t1")  # of a request that had been under way
    assert await source.authorization() == "Bearer t2"
    now[0] += timedelta(days=365)
    assert await source.authorization() == "Bearer t3"


GIVING_WHEN_TOLD = """
import json, pathlib, sys
with open(sys.argv[1], "a") as runs:
    runs.write("x")
status = {"token": pathlib.Path(sys.argv[2]).read_text()}  # a FIFO: somebody has to write to it
print(json.dumps({"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1", "status": status}))
"""


async def test_a_slow_exec_plugin(tmp_path: Path) -> None:
    """One run for all who ask meanwhile; it goes on when one of them gives up, and ends with the last of them."""
    runs, fifo = tmp_path / "runs", tmp_path / "fifo"
    os.mkfifo(fifo)
    made = plugin(tmp_path, GIVING_WHEN_TOLD)
    source = ExecCredentials(dataclasses.replace(made, args=(*made.args, str(runs), str(fifo))))
    hasty, patient, other = (asyncio.ensure_future(source.authorization()) for _ in range(3))
    await asyncio.sleep(0)
    hasty.cancel()
    await asyncio.to_thread(fifo.write_text, "t")  # waits for the reader
    assert [await patient, await other] == ["Bearer t", "Bearer t"]
    assert hasty.cancelled()
    assert runs.read_text() == "x"


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import sys; sys.exit('told you')", "failed with exit code 1: told you"),
        ("print('x')", "didn't return a valid ExecCredential"),
        ("print('{}')", "is configured to use API version"),
        ('print(\'{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1"}\')', "status field"),
        (
            'print(\'{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{}}\')',
            "didn't return a token or cert/key pair",
        ),
    ],
)
async def test_exec_plugin_mistakes(tmp_path: Path, program: str, message: str) -> None:
    """What the plugin did wrong is in the error."""
    with pytest.raises(CredentialsError, match=message):
        await ExecCredentials(plugin(tmp_path, program)).authorization()


async def test_missing_exec_plugin_shows_the_hint() -> None:
    """A command that is not there comes with the install hint."""
    missing = ExecPlugin(command="/nope", api_version="client.authentication.k8s.io/v1", install_hint="get it at x")
    with pytest.raises(CredentialsError, match="get it at x"):
        await ExecCredentials(missing).authorization()


GIVING_CERTIFICATES = """
import json, os, pathlib, sys
file = pathlib.Path(os.environ["PEM"])
if not file.exists():
    sys.exit(3)
pem = file.read_text()
status = {"clientCertificateData": pem, "clientKeyData": pem}
print(json.dumps({"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1", "status": status}))
"""


class PluginTold(Unobserved):
    def __init__(self) -> None:
        self.of: list[Any] = []

    @override
    def called(self, code: int, status: str) -> None:
        self.of.append((code, status))

    @override
    def has_certificate(self, ends_at: datetime | None) -> None:
        self.of.append(ends_at)

    @override
    def replaced_certificate(self, age_seconds: float) -> None:
        self.of.append(age_seconds)


async def test_what_is_told_of_exec_plugins(tmp_path: Path) -> None:
    """How each call came out, when the certificate ends, and how long the one before has lived."""
    told, began = PluginTold(), datetime(2026, 1, 1, tzinfo=UTC)
    pem = tmp_path / "pem"
    made = plugin(tmp_path, GIVING_CERTIFICATES, env=(("PEM", str(pem)),))
    source = ExecCredentials(made, observer=told, now=lambda: began + timedelta(hours=1))
    with pytest.raises(CredentialsError):
        await source.certificate()
    ends, ages = [], []
    for start in (began, began + timedelta(minutes=10)):
        chain, _ = self_signed("n", (), start)
        pem.write_bytes(chain)
        certificate = x509.load_pem_x509_certificate(chain)
        ends.append(certificate.not_valid_after_utc)
        ages.append((began + timedelta(hours=1) - certificate.not_valid_before_utc).total_seconds())
        source.rejected(None)
        await source.certificate()
    missing = ExecCredentials(dataclasses.replace(made, command="/no/such/program"), observer=told)
    with pytest.raises(CredentialsError):
        await missing.certificate()
    fine = (0, "no_error")
    failed, absent = (3, "plugin_execution_error"), (1, "plugin_not_found_error")
    assert told.of == [failed, fine, ends[0], fine, ends[1], ages[0], absent]
