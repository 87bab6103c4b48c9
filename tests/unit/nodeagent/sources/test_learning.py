"""Two threads may read pods from the first one on: what msgspec has to know of Pod, it knows before there are threads."""

import subprocess
import sys

PROGRAM = """
import sys, threading
from lightkube.models.core_v1 import Pod
import msgspec
import nodeagent.sources.manifest

sys.setswitchinterval(1e-6)
both = threading.Barrier(2)
body = b'{"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "1"}}}]}}'

def watched():
    both.wait()
    msgspec.json.Decoder(Pod).decode(body)

def of_a_file():
    both.wait()
    msgspec.convert(msgspec.json.decode(body), Pod)

threads = [threading.Thread(target=work) for work in (watched, of_a_file)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_two_threads_read_their_first_pod_at_once() -> None:
    """No process ends with SIGSEGV; without the first reading at the import every other one does (msgspec 0.22)."""
    for _ in range(5):
        assert subprocess.run([sys.executable, "-c", PROGRAM], timeout=60).returncode == 0
