"""A network's configuration for one check."""

from pathlib import Path

from cni.testing.implementation import Implementation


def test_a_folder_of_each_checks_own() -> None:
    """Where the configuration asks for it, and for host-local where it does not say one; all else is as given."""
    given = {"type": "x", "file": "${FOLDER}/x", "money": "$5", "ipam": {"type": "host-local", "subnet": "10.0.0.0/24"}}
    network = Implementation(
        name="n", document={"name": "n", "plugins": [given, {"ipam": {"type": "host-local", "dataDir": "/d"}}]}
    )
    first, second = network.document_in(Path("/f"))["plugins"]
    ipam = {"type": "host-local", "subnet": "10.0.0.0/24", "dataDir": "/f/ipam"}
    assert first == {"type": "x", "file": "/f/x", "money": "$5", "ipam": ipam}
    assert second == {"ipam": {"type": "host-local", "dataDir": "/d"}}
    single = Implementation(name="n", document={"name": "n", "type": "y", "ipam": {"type": "host-local"}})
    assert single.document_in(Path("/f"))["ipam"]["dataDir"] == "/f/ipam"
