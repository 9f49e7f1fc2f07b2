"""Signed alerts: whether a signature holds for its sender, and signing what we send. No I/O; time is an argument.

XML signatures are flexible to a fault: a verifier that believes the document's own description of what is signed
will say yes to a document that shows something else. So one shape is accepted (the notes are CAP-v1.2 3.3.4.1,
XMLDSig and what forgers do with it): one ds:Signature, the last child of alert, over the whole alert; and the
alert handed out is read from the bytes that were signed, not from the document around them.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from lxml import etree
from signxml.algorithms import CanonicalizationMethod as Canonical
from signxml.algorithms import DigestAlgorithm, SignatureConstructionMethod, SignatureMethod
from signxml.exceptions import InvalidDigest, InvalidSignature, SignXMLException
from signxml.signer import XMLSigner
from signxml.verifier import SignatureConfiguration, XMLVerifier

from cap import safe_xml
from cap.limits import DEFAULT, KEPT, Limits
from cap.model import Alert
from cap.names import ALERT, SIGNATURE, XMLDSIG
from cap.read import read
from cap.trust import MOST_CHAIN, Trust, Untrusted

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

_ENVELOPED = f"{XMLDSIG}enveloped-signature"
_CANONICAL = frozenset(
    method.value
    for method in (
        Canonical.CANONICAL_XML_1_0, Canonical.CANONICAL_XML_1_1, Canonical.EXCLUSIVE_XML_CANONICALIZATION_1_0
    )
)  # fmt: skip
_RSA = frozenset({SignatureMethod.RSA_SHA256, SignatureMethod.RSA_SHA384, SignatureMethod.RSA_SHA512})
_ECDSA = frozenset({SignatureMethod.ECDSA_SHA256, SignatureMethod.ECDSA_SHA384, SignatureMethod.ECDSA_SHA512})
_METHODS = frozenset(method.value for method in _RSA | _ECDSA)
_DIGESTS = frozenset({DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512})
_MOST_CHAIN_CHARS = 64_000  # of base64, of all certificates: real ones have 1 to 3 kB each
_DIGEST_NAMES = frozenset(digest.value for digest in _DIGESTS)


class Standing(StrEnum):
    """What a signature is worth.

    BROKEN: the sender's own key says that these are not the sender's words. UNVERIFIABLE: nothing is known either
    way, because of its shape, its method or its certificate.
    """

    ABSENT = "absent"
    VERIFIED = "verified"
    UNVERIFIABLE = "unverifiable"
    BROKEN = "broken"


class SignaturePolicy(StrEnum):
    """What a receiver asks of one sender. A receiver must not fail merely because it cannot verify (3.3.4.1)."""

    REQUIRED = "required"
    CHECKED = "checked"
    IGNORED = "ignored"

    def allows(self, standing: Standing) -> bool:
        """CHECKED refuses what is known to be false; REQUIRED lets nothing else than a verified one pass."""
        if self is SignaturePolicy.REQUIRED:
            return standing is Standing.VERIFIED
        return self is SignaturePolicy.IGNORED or standing is not Standing.BROKEN


@dataclass(frozen=True, slots=True)
class Verification:
    """A finding about one document. `alert` is what was signed, and `certificate` whose key did, if VERIFIED.

    `rule` is the rule that is not kept, one of S-ABSENT, S-SHAPE, S-METHOD, S-TRUST, S-BROKEN; "" if VERIFIED.
    """

    standing: Standing
    reason: str
    rule: str = ""
    alert: Alert | None = None
    certificate: x509.Certificate | None = None


class _Odd(Exception):
    """The document or its signature has not the one shape that can be verified, or not by means that hold."""

    def __init__(self, text: str, rule: str = "S-SHAPE") -> None:
        super().__init__(text)
        self.rule = rule


def verify(document: bytes, trust: Trust, at: datetime, limits: Limits = DEFAULT) -> Verification:
    """Whether `document`, byte for byte as received, was signed by whom `trust` names. Raises nothing for any bytes.

    `at` (aware) is when the certificates must be valid: the time of receipt, also when it is checked again later.
    About 0.4 ms.
    """
    root = safe_xml.tree(document, limits)
    if isinstance(root, safe_xml.UnreadableDocument):
        return Verification(Standing.UNVERIFIABLE, root.why, "S-SHAPE")
    if next(root.iter(SIGNATURE), None) is None:
        return Verification(Standing.ABSENT, "the document has no signature", "S-ABSENT")
    try:
        signature = _signature(document, root)
        method = _signed_info(signature)
        signers = trust.signers(_chain(signature), at)
    except _Odd as exc:
        return Verification(Standing.UNVERIFIABLE, str(exc), exc.rule)
    except Untrusted as exc:
        return Verification(Standing.UNVERIFIABLE, str(exc), "S-TRUST")
    fitting = [signer for signer in signers if _fits(signer, method)]
    if not fitting:
        return Verification(Standing.UNVERIFIABLE, "the method is not one of the certificate's key", "S-METHOD")
    for signer in fitting:
        verification = _verified(root, signer, at, limits)
        if verification.standing is Standing.VERIFIED:
            break
    return verification


def sign(document: bytes, key: PrivateKey, certificate: x509.Certificate) -> bytes:
    """The same alert with an enveloped signature, SHA-256, in the shape that `verify` wants. Its bytes are final.

    `key` is ECDSA or RSA and belongs to `certificate`, which is put into the document. Raises ValueError for a
    document that is no alert or is signed already, and for a key of another certificate.
    """
    root = safe_xml.tree(document, KEPT)
    if isinstance(root, safe_xml.UnreadableDocument):
        raise ValueError(f"this cannot be signed: {root.why}")
    if root.tag != ALERT or next(root.iter(f"{{{XMLDSIG}}}*"), None) is not None:
        raise ValueError("only a CAP 1.2 alert without a signature can be signed")
    if key.public_key() != certificate.public_key():
        raise ValueError("the key is not that of the certificate")
    method = SignatureMethod.RSA_SHA256 if isinstance(key, rsa.RSAPrivateKey) else SignatureMethod.ECDSA_SHA256
    signer = XMLSigner(
        method=SignatureConstructionMethod.enveloped,
        signature_algorithm=method,
        digest_algorithm=DigestAlgorithm.SHA256,
        c14n_algorithm=Canonical.EXCLUSIVE_XML_CANONICALIZATION_1_0,
    )
    signed = signer.sign(root, key=key, cert=[certificate])
    return etree.tostring(signed, encoding="UTF-8", xml_declaration=True) + b"\n"


# ---- the one shape -------------------------------------------------------------------------------------------


def _signature(document: bytes, root: etree._Element) -> etree._Element:
    if root.tag != ALERT:
        raise _Odd("the document element is not alert")
    if safe_xml.has_asides(document):
        raise _Odd("a comment or processing instruction, which no signature need cover, stands in the alert")
    signatures = list(root.iter(SIGNATURE))
    if len(signatures) > 1:
        raise _Odd(f"there are {len(signatures)} signatures")
    (signature,) = signatures
    if signature.getparent() is not root or signature.getnext() is not None:
        raise _Odd("the signature is not the last child of alert")
    if (signature.tail or "").strip():
        raise _Odd("text stands behind the signature")
    if any(child.tag != SIGNATURE for child in root.iterchildren(f"{{{XMLDSIG}}}*")):
        raise _Odd("something of XML signature stands beside the signature")
    if _names(signature) not in ([_ds("SignedInfo"), _ds("SignatureValue"), _ds("KeyInfo")],
                                 [_ds("SignedInfo"), _ds("SignatureValue")]):  # fmt: skip
        raise _Odd("the signature holds more than SignedInfo, SignatureValue and KeyInfo")
    if not _is_base64(signature[1].text):
        raise _Odd("the signature has no value")
    return signature


def _signed_info(signature: etree._Element) -> SignatureMethod:
    """The method of a signature over the whole alert and nothing else. Raises _Odd."""
    info = signature[0]
    if _names(info) != [_ds("CanonicalizationMethod"), _ds("SignatureMethod"), _ds("Reference")]:
        raise _Odd("the signature is not over one reference")
    canonical, method, reference = info
    if canonical.get("Algorithm") not in _CANONICAL:
        raise _Odd("the canonical form is not one without comments")
    if method.get("Algorithm") not in _METHODS:
        text = f"the method is not RSA or ECDSA with SHA-256 or better: {method.get('Algorithm')}"
        raise _Odd(text, "S-METHOD")
    if reference.get("URI") != "":
        raise _Odd("the signature is not over the whole document")
    if _names(reference) != [_ds("Transforms"), _ds("DigestMethod"), _ds("DigestValue")]:
        raise _Odd("the reference has no transforms, method and value of the digest")
    transforms, digest, value = reference
    if digest.get("Algorithm") not in _DIGEST_NAMES:
        raise _Odd(f"the digest is not SHA-256 or better: {digest.get('Algorithm')}", "S-METHOD")
    if not _is_base64(value.text):
        raise _Odd("the digest has no value")
    _check_transforms(transforms)
    return SignatureMethod(method.get("Algorithm"))


def _check_transforms(transforms: etree._Element) -> None:
    algorithms = [transform.get("Algorithm") for transform in transforms]
    if set(_names(transforms)) != {_ds("Transform")} or algorithms[0] != _ENVELOPED:
        raise _Odd("the signature is not enveloped")
    if len(algorithms) > 2 or not _CANONICAL.issuperset(map(str, algorithms[1:])):
        raise _Odd("the transforms are more than enveloped and one canonical form without comments")


def _chain(signature: etree._Element) -> list[x509.Certificate]:
    """The certificates in KeyInfo, which only name a key: whether to believe it is for `Trust` to say."""
    if len(signature) < 3:
        return []
    if set(_names(signature[2])) - {_ds("X509Data"), _ds("KeyName")}:
        raise _Odd("the key is described in other ways than by a certificate")
    texts = [element.text or "" for element in signature[2].iter(_ds("X509Certificate"))]
    if len(texts) > MOST_CHAIN or sum(map(len, texts)) > _MOST_CHAIN_CHARS:
        raise _Odd(f"more than {MOST_CHAIN} certificates, or too large ones, in the document", "S-TRUST")
    try:
        return [x509.load_der_x509_certificate(b64decode("".join(text.split()), validate=True)) for text in texts]
    except ValueError as exc:
        raise _Odd(f"the certificate in the document cannot be read: {exc}", "S-TRUST") from exc


def _names(element: etree._Element) -> list[str]:
    return [str(child.tag) for child in element]


def _ds(name: str) -> str:
    return f"{{{XMLDSIG}}}{name}"


def _is_base64(text: str | None) -> bool:
    try:
        return bool(b64decode("".join((text or "").split()), validate=True))
    except (binascii.Error, ValueError):
        return False


# ---- the verdict ---------------------------------------------------------------------------------------------


def _fits(signer: x509.Certificate, method: SignatureMethod) -> bool:
    return method in (_RSA if isinstance(signer.public_key(), rsa.RSAPublicKey) else _ECDSA)


def _verified(root: etree._Element, signer: x509.Certificate, at: datetime, limits: Limits) -> Verification:
    wanted = SignatureConfiguration(
        location="./",
        expect_references=1,
        signature_methods=_RSA | _ECDSA,
        digest_algorithms=_DIGESTS,
        verification_time=at,
        # XMLDSig 4.4.3.2: what no transform makes canonical is made so by Canonical XML 1.0.
        default_reference_c14n_method=Canonical.CANONICAL_XML_1_0,
    )
    try:
        result = XMLVerifier().verify(root, x509_cert=signer, expect_config=wanted)
    except (InvalidDigest, InvalidSignature) as exc:
        return Verification(Standing.BROKEN, f"the signature does not match the alert: {exc}", "S-BROKEN")
    except (SignXMLException, etree.LxmlError, ValueError, TypeError) as exc:
        return Verification(Standing.UNVERIFIABLE, f"the signature cannot be read: {exc}", "S-SHAPE")
    assert not isinstance(result, list)  # one reference, one result
    shown, signed = read(etree.tostring(root), limits).alert, read(result.signed_data, limits).alert
    if signed is None or shown != signed:
        return Verification(Standing.UNVERIFIABLE, "what was signed is not the alert that is shown", "S-SHAPE")
    return Verification(Standing.VERIFIED, "signed by the sender", alert=signed, certificate=signer)
