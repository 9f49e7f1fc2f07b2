"""The certificate with which the door speaks TLS: read, judged, and read again when it is renewed."""

import contextlib
import logging
import os
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

log = logging.getLogger(__name__)

_SOON = timedelta(days=14)
"""Of a certificate that lives for months; of a short one the last fifth of its life."""
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2; those of 1.3 are all sound."""


class CertificateRefused(ValueError):
    """The door cannot use these files: one sentence that names the file, and the key in [server] that it is about."""

    def __init__(self, setting: Literal["tls_certificate", "tls_key"], text: str) -> None:
        super().__init__(text)
        self.setting = setting


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    certificate: x509.Certificate
    context: ssl.SSLContext
    """For handshakes: TLS 1.2 or later."""

    @property
    def end_ms(self) -> int:
        """When it expires, in UTC."""
        return int(self.certificate.not_valid_after_utc.timestamp() * 1000)

    def warning(self, now_ms: int) -> str:
        """What clients hold against it, or will soon; empty for nothing. It is no fault of the settings: a door with an
        expired certificate still answers those who look away."""
        start, end = self.certificate.not_valid_before_utc, self.certificate.not_valid_after_utc
        now = datetime.fromtimestamp(now_ms / 1000, UTC)
        if now > end:
            return f"the certificate expired at {end.isoformat()}: clients refuse it"
        if now < start:
            return f"the certificate is not valid before {start.isoformat()}: clients refuse it until then"
        if end - now < min(_SOON, (end - start) / 5):
            return f"the certificate expires at {end.isoformat()}, and should have been renewed by now"
        return ""

    def speaks_for(self, host: str) -> bool:
        """Whether it names this host: by its DNS names, a wildcard for one label, or its addresses."""
        try:
            names = self.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return False
        host = host.lower()
        known = {name.lower() for name in names.get_values_for_type(x509.DNSName)}
        known |= {str(address) for address in names.get_values_for_type(x509.IPAddress)}
        return host in known or f"*.{host.partition('.')[2]}" in known


def read_server_certificate(certificate_path: str, key_path: str) -> ServerCertificate | None:
    """The certificate that the settings name, with its chain and key; None where there is none. Raises
    CertificateRefused."""
    if not certificate_path:
        return None
    chain, key_pem = _read("tls_certificate", certificate_path), _read("tls_key", key_path)
    try:
        certificate = x509.load_pem_x509_certificates(chain)[0]
    except ValueError as exc:
        raise CertificateRefused("tls_certificate", f"{certificate_path} holds no certificate in PEM") from exc
    try:
        key = load_pem_private_key(key_pem, password=None)
    except TypeError as exc:
        raise CertificateRefused("tls_key", f"{key_path} is locked with a password: nobody can type it here") from exc
    except ValueError as exc:
        raise CertificateRefused("tls_key", f"{key_path} holds no private key in PEM") from exc
    if key.public_key() != certificate.public_key():
        text = f"{key_path} is not the key of the first certificate in {certificate_path}"
        raise CertificateRefused("tls_key", text)
    return ServerCertificate(certificate, _context(certificate_path, key_path))


def _read(setting: Literal["tls_certificate", "tls_key"], path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as exc:
        raise CertificateRefused(setting, f"{path}: {exc.strerror or exc}") from exc


def _context(certificate_path: str, key_path: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    # A client that asks for one handshake after another on one connection is refused, and nothing is compressed.
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate_path, key_path, password="")
    except (OSError, ValueError) as exc:  # ssl.SSLError is an OSError
        why = getattr(exc, "reason", None) or exc
        raise CertificateRefused("tls_certificate", f"{certificate_path} and {key_path}: {why}") from exc
    return context


Stamp = tuple[tuple[int, int, int] | None, ...]


class RenewedCertificate:
    """The newest of what the files have held that can be used: handshakes that begin now have it, connections that
    stand keep what they began with. `look` reads files; everything else is in memory."""

    def __init__(self, certificate_path: str, key_path: str) -> None:
        """Raises CertificateRefused; ValueError where no path is given."""
        self._paths = (certificate_path, key_path)
        self._stamp = self._stamped()
        read = read_server_certificate(certificate_path, key_path)
        if read is None:
            raise ValueError("a door without TLS has no certificate")
        self.current = read
        self._why = ""
        """Why the files that lie there now are not used; empty when they are."""

    def context(self) -> ssl.SSLContext:
        """For the next handshake."""
        return self.current.context

    def look(self, now_ms: int) -> None:
        """Take up what was renewed. What cannot be used, or has expired while the one in use has not, is told once in
        the log and tried at every look: the one in use stays."""
        stamp = self._stamped()
        if stamp == self._stamp and not self._why:
            return
        try:
            self._take(stamp, now_ms)
        except CertificateRefused as exc:
            if str(exc) != self._why:
                log.error("a renewed certificate is not used", extra={"action": "certificate-refused", "why": str(exc)})
            self._why = str(exc)

    def _take(self, stamp: Stamp, now_ms: int) -> None:
        renewed = read_server_certificate(*self._paths)
        if renewed is None:
            return
        if renewed.end_ms < now_ms <= self.current.end_ms:
            raise CertificateRefused("tls_certificate", f"{self._paths[0]} {renewed.warning(now_ms)}")
        self.current, self._stamp, self._why = renewed, stamp, ""
        end = renewed.certificate.not_valid_after_utc.isoformat()
        log.info("the certificate was renewed", extra={"action": "certificate-renewed", "end": end})

    def _stamped(self) -> Stamp:
        """Taken before the files are read: what changes meanwhile is seen at the next look."""
        return tuple(map(_stamp, self._paths))


def _stamp(path: str) -> tuple[int, int, int] | None:
    with contextlib.suppress(OSError):
        found = os.stat(path)
        return found.st_mtime_ns, found.st_size, found.st_ino
    return None
