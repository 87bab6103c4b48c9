"""Certificates and kubeconfigs."""

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from nodeagent.apiserver.kubeconfig import write_kubeconfig
from nodeagent.apiserver.pki import Pki


def loaded(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def subject(path: Path) -> tuple[str, list[str]]:
    name = loaded(path).subject
    (common,) = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(common.value), [str(a.value) for a in name.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_first_start(tmp_path: Path) -> None:
    """Every certificate says who it is for, is the CA's, and is for the owner's eyes only."""
    pki = Pki(tmp_path / "pki", "n1", ("10.1.2.3", "api.example"))
    assert subject(pki.admin.certificate) == ("kubernetes-admin", ["system:masters"])
    assert subject(pki.node.certificate) == ("system:node:n1", ["system:nodes"])
    assert subject(pki.kubelet_client.certificate)[0] == "kube-apiserver-kubelet-client"
    assert subject(pki.storage.certificate) == ("system:storage-provisioner", [])
    server = loaded(pki.server.certificate)
    server.verify_directly_issued_by(x509.load_pem_x509_certificate(pki.ca_pem))
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {str(name.value) for name in names} == {
        "127.0.0.1",
        "::1",
        "10.1.2.3",
        "api.example",
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    }
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "pki").iterdir()} == {0o600}
    assert (tmp_path / "pki").stat().st_mode & 0o777 == 0o700


def test_second_start_changes_nothing(tmp_path: Path) -> None:
    """A start finds what the last one made."""
    Pki(tmp_path, "n1", ())
    before = contents(tmp_path)
    Pki(tmp_path, "n1", ())
    assert contents(tmp_path) == before


def changed(tmp_path: Path, before: dict[str, bytes]) -> set[str]:
    return {name for name, data in contents(tmp_path).items() if before.get(name) != data}


def test_renewal(tmp_path: Path) -> None:
    """Near their end the certificates are made again; the CA and the tokens' key stay."""
    Pki(tmp_path, "n1", ())
    before = contents(tmp_path)
    Pki(tmp_path, "n1", (), clock=lambda: datetime.now(UTC) + timedelta(days=300))
    pairs = ("admin", "apiserver", "apiserver-kubelet-client", "node", "storage")
    assert changed(tmp_path, before) == {f"{name}.{suffix}" for name in pairs for suffix in ("crt", "key")}


@pytest.mark.parametrize("damage", ["certificate", "key", "missing"])
def test_damage_is_repaired(tmp_path: Path, damage: str) -> None:
    """A broken or lost file costs that pair alone."""
    pki = Pki(tmp_path, "n1", ())
    before = contents(tmp_path)
    if damage == "missing":
        pki.admin.key.unlink()
    else:
        (pki.admin.certificate if damage == "certificate" else pki.admin.key).write_bytes(b"rubbish")
    Pki(tmp_path, "n1", ())
    assert changed(tmp_path, before) == {"admin.crt", "admin.key"}


def test_another_name(tmp_path: Path) -> None:
    """Another node or another address gets its own certificate."""
    Pki(tmp_path, "n1", ())
    before = contents(tmp_path)
    Pki(tmp_path, "n2", ("10.9.9.9",))
    assert changed(tmp_path, before) == {"node.crt", "node.key", "apiserver.crt", "apiserver.key"}


def test_signing(tmp_path: Path) -> None:
    """A request is signed with its own subject and names, for the usages and the time asked for."""
    pki = Pki(tmp_path, "n1", ())
    key = ec.generate_private_key(ec.SECP256R1())
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "system:node:n1")]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("n1")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = pki.sign(
        request.public_bytes(serialization.Encoding.PEM),
        usages=("digital signature", "server auth"),
        lifetime_seconds=3600,
    )
    certificate = x509.load_pem_x509_certificate(pem)
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [usage.dotted_string for usage in usages] == ["1.3.6.1.5.5.7.3.1"]
    assert certificate.public_key() == key.public_key()
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc < timedelta(minutes=70)
    with pytest.raises(ValueError, match="PEM"):
        pki.sign(b"rubbish", usages=(), lifetime_seconds=1)


def test_kubeconfig(tmp_path: Path) -> None:
    """A kubeconfig holds all it needs, is private, and is left alone when nothing changed."""
    pki = Pki(tmp_path / "pki", "n1", ())
    path = tmp_path / "admin.kubeconfig"

    def write() -> None:
        write_kubeconfig(path, server="https://127.0.0.1:1", ca_pem=pki.ca_pem, user="admin", pair=pki.admin)

    write()
    inode = path.stat().st_ino
    write()
    assert (path.stat().st_mode & 0o777, path.stat().st_ino) == (0o600, inode)
    config = yaml.safe_load(path.read_text())
    assert config["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:1"
    assert base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]) == pki.ca_pem
    assert config["current-context"] == config["contexts"][0]["name"]
    assert base64.b64decode(config["users"][0]["user"]["client-key-data"]) == pki.admin.key.read_bytes()


def test_renewal_while_running(tmp_path: Path) -> None:
    """Nothing moves while all is well; what nears its end, or was taken or damaged, is made again, and nothing else is."""
    now = [datetime.now(UTC)]
    pki = Pki(tmp_path, "n1", (), clock=lambda: now[0])
    before = contents(tmp_path)
    assert not pki.renew()
    now[0] += timedelta(days=274)
    assert not pki.renew()
    assert contents(tmp_path) == before
    pki.node.certificate.unlink()
    assert pki.renew()
    changed = {name for name, data in contents(tmp_path).items() if data != before[name]}
    assert changed == {"node.crt", "node.key"}
    now[0] += timedelta(days=2)
    assert pki.renew()
    after = contents(tmp_path)
    assert {name for name in before if after[name] == before[name]} == {"ca.crt", "ca.key", "sa.key"}
    assert loaded(pki.server.certificate).not_valid_after_utc > now[0] + timedelta(days=360)
    assert not pki.renew()
    pki.admin.key.write_bytes(b"damaged")
    assert pki.renew()
    assert subject(pki.admin.certificate) == ("kubernetes-admin", ["system:masters"])


def test_leaves_of_an_old_authority(tmp_path: Path) -> None:
    """What ends with its CA cannot be had longer: it is not made again and again."""
    now = [datetime.now(UTC)]
    pki = Pki(tmp_path, "n1", (), clock=lambda: now[0])
    now[0] += timedelta(days=3600)
    assert pki.renew()
    authority = x509.load_pem_x509_certificate(pki.ca_pem)
    assert loaded(pki.server.certificate).not_valid_after_utc == authority.not_valid_after_utc
    assert not pki.renew()
