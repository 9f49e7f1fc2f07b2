"""The body of a request -> the alert in it, held to what is agreed with its sender. Pure; time is an argument.

An EDXL-DE envelope is opened if it holds one alert. With more it is refused: one request has one answer, one
resource and one acknowledgement. The document that is filed, and whose bytes say whether it was here before, is that of
the alert; the envelope is kept beside it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

import cap
from cap import Alert, Limits, Problem
from cap.edxl import LINE, Envelope, unwrap
from cap.limits import KEPT
from cap.locate import line_of
from cap.rules import BY_ID
from cap.safe_xml import UnreadableDocument, tree
from cap.signing import SignaturePolicy, Standing, Verification, verify
from cap.trust import names_of
from cap.versions import VERSIONS, modernise, version_of
from gateway.access.rights import Caller
from gateway.directory.agreements import Agreement
from gateway.errors import Reason, Refusal
from store.campaigns.findings import AlertFinding

UNREADABLE = frozenset({"XML-WF", "XML-DTD", "XML-ENC"})
"""Rules whose breach leaves nothing to be judged: 400, not 422."""
SIGNATURE = "/alert/Signature"
_EVERY_VERSION = cap.ReadingTerms(versions=frozenset(VERSIONS.values()))
_ENDS = frozenset({"cancel", "ack", "error"})


@dataclass(frozen=True, slots=True)
class Opened:
    """A document, and what it came in. `below` is added to a line of it for the line of the body."""

    document: bytes
    envelope: Envelope | None = None
    below: int = 0


@dataclass(frozen=True, slots=True)
class Received:
    """An alert that keeps the rules. `refusal` is what its signature deserves by the sender's terms.

    `warnings` are all that was found and does not refuse it; `finding` is what is to be kept of it, without them.
    """

    alert: Alert
    body: bytes
    opened: Opened
    digest: str
    warnings: tuple[Reason, ...]
    finding: AlertFinding
    refusal: Refusal | None = None


def receive(body: bytes, caller: Caller, at: datetime, limits: Limits = cap.DEFAULT_LIMITS) -> Received:
    """The alert in the body of a request. Raises Refusal with everything that is wrong. `at` (aware) is the time of
    receipt."""
    opened = open_body(body)
    reading = cap.read(opened.document, limits, terms_of=lambda sender: caller.agreed(sender).terms)
    reasons = [_reason(problem, opened.below) for problem in reading.problems]
    if reading.alert is None or not reading.accepted:
        if any(reason.rule in UNREADABLE for reason in reasons):
            raise Refusal(400, "invalid-cap", "This is not XML that may be read.", reasons)
        raise Refusal(422, "invalid-cap", "The alert breaks rules.", reasons)
    if opened.envelope is not None:
        reasons = [*_envelope_reasons(opened.envelope, reading.alert), *reasons]
        if any(reason.level == "error" for reason in reasons):
            raise Refusal(422, "envelope-differs", "The envelope says something else than the alert in it.", reasons)
    received = Received(
        alert=reading.alert,
        body=body,
        opened=opened,
        digest=hashlib.sha256(opened.document).hexdigest(),
        warnings=tuple(reasons),
        finding=AlertFinding(
            version=reading.version,
            signature="unchecked" if any(r.rule == "S-UNVERIFIED" for r in reasons) else str(Standing.ABSENT),
            envelope_name=_name(opened.envelope),
        ),
    )
    # Whose signature it must be is said by the alert as it was read, not by a claim.
    return _verified(received, caller.agreed(reading.alert.sender), at, limits)


def reread(document: bytes) -> Alert:
    """An alert that was accepted once, of whatever version and by whatever terms. Raises Refusal if it is none."""
    alert = cap.read(document, KEPT, _EVERY_VERSION).alert
    if alert is None:
        raise Refusal(422, "invalid-cap", "The alert breaks rules.")
    return alert


# ---- the envelope ----------------------------------------------------------------------------------------------


def open_body(body: bytes) -> Opened:
    """Raises Refusal for an envelope that does not hold exactly one alert."""
    envelope = unwrap(body, most=1) if _may_be_envelope(body) else None
    if envelope is None:
        return Opened(body)
    if envelope.count != 1:
        text = (
            f"The envelope holds {envelope.count} alerts; each is posted by itself, to be answered by itself."
            if envelope.count
            else "The envelope holds no alert; what is only linked or encoded in it is not followed."
        )
        code = "several-alerts" if envelope.count else "no-alert"
        raise Refusal(422, code, text, [Reason("E-ONE", text, value=str(envelope.count), remedy=_ONE_ALERT)])
    (enclosed,) = envelope.alerts
    return Opened(enclosed.document, envelope, (enclosed.line or LINE) - LINE)


_ONE_ALERT = "Put one <alert> into embeddedXMLContent, or post it without the envelope."


def _may_be_envelope(body: bytes) -> bool:
    """Nearly all bodies are alerts, and not read twice for nothing. Wide characters hide the name."""
    return b"EDXL" in body or body[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in body[:4]


def _envelope_reasons(envelope: Envelope, alert: Alert) -> list[Reason]:
    text = f"Taken out of the EDXL-DE {envelope.version} envelope {envelope.identifier[:200]}: what the envelope "
    text += "says of addressees and areas is not followed."
    found = [Reason("E-OPENED", text, level="information")]
    if envelope.status and envelope.status.lower() != alert.status.lower():
        text = f"The envelope is of status {envelope.status[:100]}, the alert in it of {alert.status}."
        remedy = "Give both the same status: nobody must be alerted in an exercise, nor left out of the real thing."
        found.append(
            Reason(
                "E-STATUS", text, path=f"{_ROOT}/distributionStatus", value=envelope.status[:100], remedy=remedy
            )
        )  # fmt: skip
    if envelope.kind.lower() in _ENDS and envelope.kind.lower() != alert.msg_type.lower():
        text = f"The envelope is a distribution of type {envelope.kind[:100]}, the alert in it is an {alert.msg_type}."
        remedy = "To cancel an alert send a CAP Cancel that names it."
        found.append(Reason("E-KIND", text, path=f"{_ROOT}/distributionType", value=envelope.kind[:100], remedy=remedy))
    return found


_ROOT = "/EDXLDistribution"


def _name(envelope: Envelope | None) -> str:
    if envelope is None:
        return ""
    return f"EDXL-DE {envelope.version} {envelope.identifier[:500]} {envelope.sender[:200]}".rstrip()


# ---- the signature ---------------------------------------------------------------------------------------------


def _verified(received: Received, agreement: Agreement, at: datetime, limits: Limits) -> Received:
    if agreement.policy is SignaturePolicy.IGNORED:
        return received
    verification = verify(received.opened.document, agreement.trust, at, limits)
    others = tuple(reason for reason in received.warnings if reason.rule != "S-UNVERIFIED")
    finding = msgspec.structs.replace(received.finding, signature=str(verification.standing))
    if verification.alert is not None:
        # From here on nothing counts but what was signed.
        finding = _signed_by(finding, verification.certificate)
        return replace(received, alert=verification.alert, warnings=others, finding=finding)
    if verification.standing is Standing.ABSENT and agreement.policy.allows(Standing.ABSENT):
        return replace(received, finding=finding)
    finding = msgspec.structs.replace(finding, reason=verification.reason)
    if agreement.policy.allows(verification.standing):
        warnings = (*others, _told(received.opened, verification, "warning"))
        return replace(received, warnings=warnings, finding=finding)
    reasons = (_told(received.opened, verification, "error"), *others)
    title = "The signature is not as it was agreed with this sender."
    return replace(received, finding=finding, refusal=Refusal(403, "signature-refused", title, reasons))


def _told(opened: Opened, verification: Verification, level: str) -> Reason:
    row = BY_ID[verification.rule]
    text = f"{verification.reason[:1].upper()}{verification.reason[1:]}."
    reason = Reason(row.id, text, level=level, path=SIGNATURE, section=row.section, remedy=row.remedy)
    return located([reason], opened)[0]


def _signed_by(finding: AlertFinding, certificate: x509.Certificate | None) -> AlertFinding:
    if certificate is None:
        return finding
    names = ", ".join(sorted(names_of(certificate)))[:500]
    # A name may hold anything, a NUL too, which not every store can.
    signer = "".join(character if character.isprintable() else "?" for character in names)
    return msgspec.structs.replace(finding, signer=signer, certificate=certificate.fingerprint(SHA256()).hex())


# ---- lines -----------------------------------------------------------------------------------------------------


def located(reasons: Sequence[Reason], opened: Opened) -> tuple[Reason, ...]:
    """Reasons with the line of the body for whatever stands in the alert; each that has one keeps it."""
    root = tree(opened.document, KEPT)
    if isinstance(root, UnreadableDocument):
        return tuple(reasons)
    if version_of(root) != "1.2":
        modernise(root)
    return tuple(
        msgspec.structs.replace(r, line=(line_of(root, r.path) or 0) + opened.below)
        if r.path.startswith("/alert") and not r.line
        else r
        for r in reasons
    )


def _reason(p: Problem, below: int) -> Reason:
    return Reason(
        rule=p.rule, text=p.text, level=p.level, path=p.path, line=p.line + below if p.line else 0, section=p.section,
        value=p.value, remedy=p.remedy, cause=p.cause, facts=p.facts, left_out=p.left_out,
    )  # fmt: skip
