"""Makes keys and certificates for tests: of this minute, for nobody that exists."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

NOW = datetime(2026, 5, 11, 20, 0, tzinfo=UTC)
YEAR = timedelta(days=365)


def ec_key(curve=None):
    return ec.generate_private_key(curve or ec.SECP256R1())


def rsa_key(bits=2048):
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def certificate(
    key,
    name="cic.zone-a.example",
    *,
    issuer=None,
    ca=False,
    may_sign=True,
    mail="",
    start=NOW - YEAR,
    end=NOW + YEAR,
):
    """Self-signed, or issued by (key, certificate)."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    issuer_key, issuer_name = (issuer[0], issuer[1].subject) if issuer else (key, subject)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(_usage(ca, may_sign), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if mail:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.RFC822Name(mail)]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _usage(ca, may_sign):
    return x509.KeyUsage(
        digital_signature=may_sign,
        content_commitment=False,
        key_encipherment=not may_sign,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )
