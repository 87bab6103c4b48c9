"""The embedded API as a process of its own, and an HTTPS client with a chosen identity."""

import json
import signal
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

START_SECONDS = 30
DEADLINE_SECONDS = 60


class ApiServer:
    """`python -m nodeagent.apiserver` on a free port; it keeps its port and state across restarts."""

    def __init__(self, state_dir: Path, *arguments: str) -> None:
        self.state_dir = state_dir
        self._arguments = arguments
        self._port = 0
        self.process: subprocess.Popen[str] | None = None
        self.url = ""
        self.kubeconfig = state_dir / "admin.kubeconfig"

    def start(self) -> None:
        command = [sys.executable, "-m", "nodeagent.apiserver", "--state-dir", str(self.state_dir), "--node-name", "n1"]
        command += ["--port", str(self._port), "--exit-with-parent", *self._arguments]
        log = (self.state_dir.parent / "apiserver.log").open("a")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        log.close()
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, (self.state_dir.parent / "apiserver.log").read_text()[-4000:]
        ready = json.loads(line)
        self.url = ready["url"]
        self._port = int(self.url.rpartition(":")[2])

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(START_SECONDS)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None
        return status

    def tls(self, identity: str | None = "admin") -> ssl.SSLContext:
        """A context that trusts the server and shows the certificate of `identity` (a pair in pki/)."""
        pki = self.state_dir / "pki"
        context = ssl.create_default_context(cafile=pki / "ca.crt")
        if identity is not None:
            context.load_cert_chain(pki / f"{identity}.crt", pki / f"{identity}.key")
        return context

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        identity: str | None = "admin",
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any]:
        """(status, decoded JSON or text)."""
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **(headers or {})}
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=sent)
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE_SECONDS, context=self.tls(identity)) as answer:
                return answer.status, _decoded(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _decoded(error.read())


def _decoded(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data.decode(errors="replace")
