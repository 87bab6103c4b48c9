"""Where the demo's agent keeps its things. Everything can be moved by environment variables, to run it beside another agent:
NODEAGENT_STATE_DIR, NODEAGENT_ROOT_DIR, NODEAGENT_RUN_DIR, NODEAGENT_CONTAINER_LOGS_DIR, NODEAGENT_NODE_NAME, and
NODEAGENT_CONFIG for a configuration file (ports, bridge, subnet, CNI folder, cgroup root, pod logs)."""

import os
from dataclasses import dataclass
from pathlib import Path

from nodeagent.config import Config, Options, load

REPO = Path(__file__).resolve().parent.parent.parent
MANIFEST = REPO / "examples/hello.yaml"
IMAGE = "localhost/demo:1"
HELLO_FOLDER = Path("/run/nodeagent-hello")  # the hostPath of examples/hello.yaml
CNI_FILE = "10-nodeagent.conflist"  # what standalone mode writes into an empty CNI folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`once`: tear down when the goals are reached. `timeout_seconds`: for each of ready node and reached goals."""

    config: Config
    once: bool
    timeout_seconds: float

    @property
    def kubeconfig(self) -> Path:
        return self.config.options.state_dir / "admin.kubeconfig"

    @property
    def log(self) -> Path:
        return self.config.options.state_dir / "agent.log"

    def agent_argv(self, program: str) -> list[str]:
        options = self.config.options
        argv = [program, "run", "--standalone"]
        argv += [f"--state-dir={options.state_dir}", f"--root-dir={options.root_dir}", f"--run-dir={options.run_dir}"]
        argv += [f"--container-logs-dir={options.container_logs_dir}", f"--node-name={self.config.node_name}"]
        return [*argv, *([f"--config={options.config_file}"] if options.config_file else [])]


def read(*, once: bool, timeout_seconds: float) -> Settings:
    """Raises ConfigProblem."""
    env = os.environ
    config_file = env.get("NODEAGENT_CONFIG")
    options = Options(
        standalone=True,
        config_file=Path(config_file) if config_file else None,
        state_dir=Path(env.get("NODEAGENT_STATE_DIR", "/var/lib/nodeagent")),
        root_dir=Path(env.get("NODEAGENT_ROOT_DIR", "/var/lib/kubelet")),
        run_dir=Path(env.get("NODEAGENT_RUN_DIR", "/run/nodeagent")),
        container_logs_dir=Path(env.get("NODEAGENT_CONTAINER_LOGS_DIR", "/var/log/containers")),
        node_name=env.get("NODEAGENT_NODE_NAME", ""),
    )
    return Settings(config=load(options), once=once, timeout_seconds=timeout_seconds)
