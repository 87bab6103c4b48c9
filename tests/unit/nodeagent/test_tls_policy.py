"""Go's names for TLS: what a server's context is set to, what is refused, and what is told."""

import ssl

import pytest

from nodeagent.tls_policy import (
    INSECURE,
    STRONG,
    SUITES,
    TLSPolicy,
    problem_of_curves,
    problem_of_suite,
)


def applied(policy: TLSPolicy) -> tuple[ssl.TLSVersion, set[str]]:
    """The oldest version, and the suites of TLS 1.2."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    policy.apply(context)
    suites = {item["name"] for item in context.get_ciphers() if not item["name"].startswith("TLS_")}
    return context.minimum_version, suites


def test_nothing_configured_is_strong() -> None:
    """TLS 1.2 at least; forward secret, authenticated suites and no others."""
    assert applied(TLSPolicy()) == (ssl.TLSVersion.TLSv1_2, set(STRONG.values()))


@pytest.mark.parametrize("version", ["VersionTLS10", "VersionTLS11", "VersionTLS12"])
def test_never_older_than_12(version: str) -> None:
    """An older minimum is not a wish for weaker TLS; that it is not followed to the letter is told."""
    policy = TLSPolicy(min_version=version)
    assert applied(policy)[0] is ssl.TLSVersion.TLSv1_2
    assert bool(policy.remarks()) is (version != "VersionTLS12")


def test_the_suites_that_are_configured_and_no_others() -> None:
    """Names of Go, the older spelling too; those of TLS 1.3 beside them change nothing."""
    names = (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "TLS_AES_128_GCM_SHA256",
    )
    assert applied(TLSPolicy(cipher_suites=names)) == (
        ssl.TLSVersion.TLSv1_2,
        {"ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES256-GCM-SHA384"},
    )


@pytest.mark.parametrize(
    "policy",
    [TLSPolicy(min_version="VersionTLS13"), TLSPolicy(cipher_suites=("TLS_AES_128_GCM_SHA256",))],
)
def test_only_tls_13(policy: TLSPolicy) -> None:
    """Said so; or by configuring no suite of TLS 1.2, as in Go."""
    assert applied(policy)[0] is ssl.TLSVersion.TLSv1_3


def test_suites_that_are_refused() -> None:
    """Unknown names in upstream's words (also OpenSSL's names); known ones that this OpenSSL has no more."""
    assert problem_of_suite("ECDHE-RSA-AES128-GCM-SHA256") == (
        "Cipher suite ECDHE-RSA-AES128-GCM-SHA256 not supported or doesn't exist"
    )
    assert problem_of_suite("tls_aes_128_gcm_sha256").endswith("not supported or doesn't exist")
    assert "does not have it any more" in problem_of_suite("TLS_ECDHE_RSA_WITH_RC4_128_SHA")
    assert not [name for name in STRONG if problem_of_suite(name)]


def test_every_known_name_is_either_offered_alone_or_refused() -> None:
    """No name of the table is accepted and then not in force."""
    for name, openssl in SUITES.items():
        if not problem_of_suite(name):
            assert applied(TLSPolicy(cipher_suites=(name,)))[1] == {openssl}


def test_what_is_told() -> None:
    """Insecure suites in upstream's words; suites without effect; suites that the certificate's key cannot have."""
    insecure = next(iter(INSECURE))
    assert TLSPolicy(cipher_suites=(insecure,)).remarks() == [f"Use of insecure cipher '{insecure}' detected."]
    rsa = TLSPolicy(cipher_suites=("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",))
    assert rsa.remarks(False) == []
    (told,) = rsa.remarks(True)
    assert told.startswith("tlsCipherSuites: none of them goes with the serving certificate's ECDSA key")
    (told,) = TLSPolicy(min_version="VersionTLS13", cipher_suites=("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",)).remarks(
        True
    )
    assert told.startswith("tlsCipherSuites: without effect")


def test_curves() -> None:
    """One curve is held to; several, or one that is not there, cannot be, and are refused."""
    assert problem_of_curves([]) == "" == problem_of_curves([29])
    assert problem_of_curves([29, 23]).startswith("only one curve")
    assert problem_of_curves([4588]).startswith("4588 is none of the curves")
    applied(TLSPolicy(curves=(29,)))


def test_for_another_process() -> None:
    """In the flags of a kube-apiserver, which the embedded API has too."""
    assert TLSPolicy().as_arguments() == []
    assert TLSPolicy(min_version="VersionTLS13", cipher_suites=("A", "B")).as_arguments() == [
        "--tls-min-version=VersionTLS13",
        "--tls-cipher-suites=A,B",
    ]
