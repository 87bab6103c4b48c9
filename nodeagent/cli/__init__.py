"""The command line. Commands import what they need when they run: `nodeagent version` waits for nothing."""


def main() -> None:
    """Entry point of the `nodeagent` program. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration."""
    from nodeagent.cli.app import app

    app()
