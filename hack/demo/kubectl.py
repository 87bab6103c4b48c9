"""kubectl, as a user would call it, with a deadline."""

from pathlib import Path

from runtimes.linux import process


class KubectlError(Exception):
    """kubectl said no; the text is what it said."""


class Kubectl:
    def __init__(self, kubeconfig: Path) -> None:
        self._base = ["kubectl", f"--kubeconfig={kubeconfig}"]

    async def run(self, *arguments: str, timeout_seconds: float = 60.0) -> process.Completed:
        return await process.run([*self._base, *arguments], timeout_seconds=timeout_seconds)

    async def ok(self, *arguments: str) -> bool:
        """Whether it works, asked of a server that may not be there yet."""
        try:
            return (await self.run("--request-timeout=5s", *arguments, timeout_seconds=10.0)).ok
        except process.ProcessTimeout:
            return False

    async def must(self, *arguments: str, timeout_seconds: float = 600.0) -> str:
        """Its output. Raises KubectlError."""
        done = await self.run(*arguments, timeout_seconds=timeout_seconds)
        if not done.ok:
            raise KubectlError(f"kubectl {' '.join(arguments)}: {done.error_text}")
        return done.stdout.decode()
