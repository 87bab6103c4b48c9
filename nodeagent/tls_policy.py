"""What a TLS server of this node offers: `tlsMinVersion`, `tlsCipherSuites` and `tlsCurvePreferences`, in Go's names.

As in Go, cipher suites are those of TLS 1.2: TLS 1.3 has three, and they are not configurable. Older versions are never spoken.
Source: component-base/cli/flag/ciphersuites_flag.go (Kubernetes 1.36), crypto/tls.
"""

import functools
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

# What is offered where nothing is configured: forward secret and authenticated, so what CIS 4.2.12 asks for. Go also offers
# CBC with SHA-1, which no client of Kubernetes has needed since TLS 1.2.
STRONG = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
}
_LEGACY_NAMES = {
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305": "ECDHE-RSA-CHACHA20-POLY1305",
}
_SHA1 = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
}
# tls.InsecureCipherSuites(): used when asked for, with a warning, where this machine's OpenSSL still has them
INSECURE = {
    "TLS_RSA_WITH_RC4_128_SHA": "RC4-SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA": "DES-CBC3-SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256": "AES128-SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA": "ECDHE-ECDSA-RC4-SHA",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA": "ECDHE-RSA-RC4-SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA": "ECDHE-RSA-DES-CBC3-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256": "ECDHE-ECDSA-AES128-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256": "ECDHE-RSA-AES128-SHA256",
}
_TLS13 = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
SUITES = {**STRONG, **_LEGACY_NAMES, **_SHA1, **INSECURE}
VERSIONS = ("VersionTLS10", "VersionTLS11", "VersionTLS12", "VersionTLS13")
_OLD_VERSIONS = VERSIONS[:2]
_CURVES = {23: "prime256v1", 24: "secp384r1", 25: "secp521r1", 29: "X25519"}  # tls.CurveID


@dataclass(frozen=True, slots=True, kw_only=True)
class TLSPolicy:
    """Checked values of a configuration; all empty: the node's own defaults."""

    min_version: str = ""
    cipher_suites: tuple[str, ...] = ()
    curves: tuple[int, ...] = ()

    @property
    def only_13(self) -> bool:
        """Said so; or no suite of TLS 1.2 is left, which in Go comes to the same."""
        return self.min_version == "VersionTLS13" or (bool(self.cipher_suites) and not self._configurable)

    @property
    def _configurable(self) -> tuple[str, ...]:
        return tuple(name for name in self.cipher_suites if name not in _TLS13)

    def apply(self, context: ssl.SSLContext) -> None:
        """Put it in force on a server's context. Raises ssl.SSLError for what `problem_of_suite` tells."""
        context.minimum_version = ssl.TLSVersion.TLSv1_3 if self.only_13 else ssl.TLSVersion.TLSv1_2
        names = self._configurable or tuple(STRONG)
        context.set_ciphers(":".join(dict.fromkeys(SUITES[name] for name in names)))
        if len(self.curves) == 1:
            context.set_ecdh_curve(_CURVES[self.curves[0]])

    def remarks(self, key_is_ecdsa: bool | None = None) -> list[str]:
        """What an operator should know of it. `key_is_ecdsa` None: the certificate is not known."""
        told = [f"Use of insecure cipher '{name}' detected." for name in self.cipher_suites if name in INSECURE]
        if self.min_version in _OLD_VERSIONS:
            told.append(f"tlsMinVersion: {self.min_version} is taken as VersionTLS12, the oldest that is spoken here")
        if self._configurable and self.min_version == "VersionTLS13":
            told.append(
                "tlsCipherSuites: without effect, tlsMinVersion is VersionTLS13, whose suites are not configurable"
            )
        elif self._configurable and key_is_ecdsa is not None and not self._fits(key_is_ecdsa):
            kind = "ECDSA" if key_is_ecdsa else "RSA"
            told.append(
                f"tlsCipherSuites: none of them goes with the serving certificate's {kind} key: only clients with TLS 1.3 get in"
            )
        return told

    def _fits(self, key_is_ecdsa: bool) -> bool:
        return any(("_ECDSA_" in name) is key_is_ecdsa for name in self._configurable)

    def as_arguments(self) -> list[str]:
        """The policy as kube-apiserver's flags, for a server that is a process of its own."""
        arguments = [f"--tls-min-version={self.min_version}"] if self.min_version else []
        return [*arguments, *([f"--tls-cipher-suites={','.join(self.cipher_suites)}"] if self.cipher_suites else ())]


def problem_of_suite(name: str) -> str:
    """Why a suite cannot be configured; empty: it can."""
    if name in _TLS13 or (name in SUITES and _openssl_has(SUITES[name])):
        return ""
    if name in SUITES:
        return f"Cipher suite {name} cannot be offered: this machine's {ssl.OPENSSL_VERSION} does not have it any more"
    return f"Cipher suite {name} not supported or doesn't exist"


def problem_of_curves(curves: Sequence[int]) -> str:
    """Why curves cannot be held to; empty: they can. OpenSSL, by Python, is told one or none."""
    unknown = [curve for curve in curves if curve not in _CURVES]
    if unknown:
        known = ", ".join(f"{number} ({name})" for number, name in _CURVES.items())
        return f"{unknown[0]} is none of the curves that can be held to here: {known}"
    if len(set(curves)) > 1:
        return "only one curve can be held to here; give one, or none for this machine's defaults"
    return ""


@functools.cache
def _openssl_has(name: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ciphers(name)
    except ssl.SSLError:
        return False
    return True
