"""Whose signatures are believed: certificates pinned for a sender, or authorities that vouch for its name.

Knows certificates and no XML. No I/O, no clock; never the system's list of authorities, whom any site can pay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import verification

LEAST_RSA_BITS = 2048
LEAST_EC_BITS = 256
MOST_CHAIN = 5  # certificates that a document may bring along


class Untrusted(Exception):
    """No certificate that may speak for the sender; the text says why."""


@dataclass(frozen=True, slots=True)
class Trust:
    """What one sender's signatures are checked against.

    `pinned`: the sender's own certificates, several while one replaces another. `authorities`: certificates that may
    have issued the signer's, which must then bear one of `names` (common name, DNS name or mail address, compared
    without regard to case; without names nobody passes).
    """

    pinned: tuple[x509.Certificate, ...] = ()
    authorities: tuple[x509.Certificate, ...] = ()
    names: tuple[str, ...] = ()

    @classmethod
    def from_pem(cls, pinned: bytes = b"", authorities: bytes = b"", names: Sequence[str] = ()) -> Trust:
        """From PEM texts of any number of certificates each. Raises ValueError for one that is none."""
        return cls(_certificates(pinned), _certificates(authorities), tuple(names))

    def signers(self, chain: Sequence[x509.Certificate], at: datetime) -> tuple[x509.Certificate, ...]:
        """The certificates whose keys may have signed, given those that the document brings (leaf first, or none).

        Raises Untrusted: none of them is pinned or vouched for, or none is valid `at` that (aware) time.
        """
        if chain and chain[0] in self.pinned:
            candidates: tuple[x509.Certificate, ...] = (chain[0],)
        elif chain and self.authorities:
            candidates = (self._vouched(chain, at),)
        elif chain:
            raise Untrusted("the certificate in the document is not one of the sender's")
        else:
            candidates = self.pinned
        valid = tuple(c for c in candidates if c.not_valid_before_utc <= at <= c.not_valid_after_utc)
        if not valid:
            raise Untrusted("the certificate is not valid at that time" if candidates else "no certificate is known")
        strong = tuple(c for c in valid if is_strong(c))
        if not strong:
            raise Untrusted(f"the key is none of RSA from {LEAST_RSA_BITS} bits or ECDSA from {LEAST_EC_BITS} bits")
        return strong

    def _vouched(self, chain: Sequence[x509.Certificate], at: datetime) -> x509.Certificate:
        if len(chain) > MOST_CHAIN:
            raise Untrusted(f"more than {MOST_CHAIN} certificates in the document")
        leaf = chain[0]
        verifier = (
            verification.PolicyBuilder()
            .store(verification.Store(list(self.authorities)))
            .time(at)
            .extension_policies(
                ca_policy=verification.ExtensionPolicy.webpki_defaults_ca(),
                ee_policy=verification.ExtensionPolicy.permit_all().require_present(
                    x509.KeyUsage, verification.Criticality.AGNOSTIC, _may_sign
                ),
            )
            .build_client_verifier()
        )
        try:
            verifier.verify(leaf, list(chain[1:]))
        except (verification.VerificationError, ValueError) as exc:
            raise Untrusted(f"no known authority vouches for the certificate: {exc}") from exc
        if not names_of(leaf) & {name.casefold() for name in self.names}:
            raise Untrusted("the certificate is not in the sender's name")
        return leaf


def names_of(certificate: x509.Certificate) -> frozenset[str]:
    """The common names, DNS names and mail addresses of a certificate, case-folded."""
    found = [str(name.value) for name in certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset(name.casefold() for name in found)
    found += alternatives.get_values_for_type(x509.DNSName)
    found += alternatives.get_values_for_type(x509.RFC822Name)
    return frozenset(name.casefold() for name in found)


def is_strong(certificate: x509.Certificate) -> bool:
    """Whether its key is one that may sign: RSA from 2048 bits, ECDSA from 256."""
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size >= LEAST_RSA_BITS
    return isinstance(key, ec.EllipticCurvePublicKey) and key.key_size >= LEAST_EC_BITS


def _may_sign(policy: verification.Policy, certificate: x509.Certificate, usage: x509.KeyUsage) -> None:
    if not usage.digital_signature:
        raise ValueError("its key is not meant for signatures")


def _certificates(pem: bytes) -> tuple[x509.Certificate, ...]:
    return tuple(x509.load_pem_x509_certificates(pem)) if pem.strip() else ()
