"""`nodeagent dashboard`: what it refuses, in one line and with exit status 2."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from nodeagent.cli.app import app
from nodeagent.cli.dashboard import CannotServe, parse_address
from nodeagent.cli.dashboard.site import is_local


@pytest.mark.parametrize(("text", "url"), [("127.0.0.1:9", "127.0.0.1:7"), ("[::1]:0", "[::1]:7")])
def test_addresses(text: str, url: str) -> None:
    """IPv4 and, in brackets, IPv6; the URL has the port that it got, and the secret."""
    assert parse_address(text).url(7, "s") == f"http://{url}/s/"


@pytest.mark.parametrize(
    "text",
    ["", "9040", "localhost:1", "::1:80", "[127.0.0.1]:1", "127.0.0.1", "127.0.0.1:", "1.2.3.4:65536", "1.1.1.1:²"],
)
def test_no_addresses(text: str) -> None:
    """Names, ports that are none, IPv6 without brackets."""
    with pytest.raises(CannotServe, match="an IP address and a port are wanted"):
        parse_address(text)


@pytest.mark.parametrize("host", ["127.0.0.1:80", "127.0.0.1", "LOCALHOST:1", "[::1]:9040", "[::1]", "10.0.0.4:1"])
def test_hosts_that_nobody_else_can_name(host: str) -> None:
    """IP addresses and localhost."""
    assert is_local(host)


@pytest.mark.parametrize(
    "host", ["", "evil.example", "evil.example:9040", "127.0.0.1.evil.example:1", "localhost.x", "a:b"]
)
def test_hosts_of_a_rebinding_site(host: str) -> None:
    """Every other name."""
    assert not is_local(host)


def test_without_a_node(tmp_path: Path) -> None:
    """No kubeconfig, one that is none, a bad address: each is one line."""
    broken = tmp_path / "broken"
    broken.write_text("clusters: 7\n")
    nobody = tmp_path / "nobody"
    nobody.write_text(
        "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\n"
        "contexts: [{name: c, context: {cluster: c, user: u}}]\ncurrent-context: c\nusers: [{name: u, user: {token: t}}]\n"
    )
    for arguments, told in (
        (["--state-dir", str(tmp_path)], f"{tmp_path}/admin.kubeconfig does not exist"),
        (["--kubeconfig", str(broken)], str(broken)),
        (["--kubeconfig", str(nobody)], "the API at http://127.0.0.1:1 says: "),
        (["--listen", "nowhere"], "--listen 'nowhere'"),
    ):
        result = CliRunner().invoke(app, ["dashboard", *arguments])
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1), result.stderr
        assert told in result.stderr
