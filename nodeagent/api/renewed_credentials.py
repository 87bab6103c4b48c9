"""The kubeconfig's credentials, with the certificates that the node was issued since."""

import contextlib

from cryptography import x509
from typing_extensions import override

from nodeagent.api.certificates import common_names
from nodeagent.api.credentials import Certificate, CertificateFiles, Credentials, CredentialsError


class RenewedCredentials(Credentials):
    """`configured` is what the kubeconfig says, `renewed` where renewed certificates are. The newer of both counts, if it is the
    same identity: a kubeconfig with its certificate inside, or in another's files, is never written again."""

    def __init__(self, configured: Credentials, renewed: CertificateFiles) -> None:
        self._configured = configured
        self._renewed = renewed
        self._seen: tuple[Certificate | None, Certificate | None] = (None, None)
        self._chosen: Certificate | None = None
        self._parsed: tuple[Certificate | None, x509.Certificate | None] = (None, None)

    @override
    async def authorization(self) -> str | None:
        return await self._configured.authorization()

    @override
    async def certificate(self) -> Certificate | None:
        """The same object as long as it is the same certificate."""
        configured = await self._configured.certificate()
        if configured is None:
            return None
        renewed: Certificate | None
        try:
            renewed = await self._renewed.certificate()
        except CredentialsError:
            renewed = None  # there is none yet
        if configured is not self._seen[0] or renewed is not self._seen[1]:
            self._seen = (configured, renewed)
            self._chosen = _newer(configured, renewed) if renewed is not None else configured
        return self._chosen

    @override
    def rejected(self, authorization: str | None) -> None:
        self._configured.rejected(authorization)

    async def in_use(self) -> x509.Certificate | None:
        """The certificate that is to be used now; None: there is none that can be read. Raises nothing."""
        with contextlib.suppress(CredentialsError):
            await self.certificate()
        return self.last()

    def last(self) -> x509.Certificate | None:
        """The one that was given last."""
        if self._chosen is not self._parsed[0]:
            self._parsed = (self._chosen, _read(self._chosen) if self._chosen is not None else None)
        return self._parsed[1]


def _newer(configured: Certificate, renewed: Certificate) -> Certificate:
    first, second = _read(configured), _read(renewed)
    if first is None or second is None:
        return configured if second is None else renewed
    same = common_names(first) == common_names(second)
    return renewed if same and second.not_valid_before_utc > first.not_valid_before_utc else configured


def _read(pair: Certificate) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(pair.certificate_pem)
    except ValueError:
        return None
