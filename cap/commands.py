"""What the command line does, as functions from bytes and options to text and a status. Opens and prints nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from cap import edxl, rules, signing
from cap.geojson import to_geojson
from cap.json_form import from_json, to_json
from cap.model import Alert
from cap.problem import Problem
from cap.read import Reading, read
from cap.rules import Rule
from cap.signing import Standing
from cap.terms import ReadingTerms
from cap.text_values import moment
from cap.translations import catalogue, translated
from cap.trust import Trust
from cap.write import write

GOOD, BAD, UNUSABLE = 0, 1, 2


class Done(NamedTuple):
    """What to print, and the status to leave with."""

    output: bytes
    status: int = GOOD


class UnusableInput(Exception):
    """An option or a file of which nothing can be made; the text says why."""


# ---- check ---------------------------------------------------------------------------------------------------


def check(name: str, document: bytes, terms: ReadingTerms, *, as_json: bool, language: str = "en") -> Done:
    """The verdict on one document, and every problem with it in a language of the catalogues."""
    found = read(document, terms=terms)
    reading = replace(found, problems=tuple(translated(problem, language) for problem in found.problems))
    return Done(told(name, reading, as_json=as_json), GOOD if reading.accepted else BAD)


def unreadable(name: str, reason: str, *, as_json: bool) -> Done:
    """The verdict on a file that cannot be opened."""
    reading = Reading(None, (rules.problem("FILE", "/", f"cannot be read: {reason}"),))
    return Done(told(name, reading, as_json=as_json), UNUSABLE)


def told(name: str, reading: Reading, *, as_json: bool) -> bytes:
    verdict = "accept" if reading.accepted else "reject"
    if as_json:
        record = {"file": name, "verdict": verdict, "problems": [_fields(problem) for problem in reading.problems]}
        return _line(json.dumps(record))
    lines = [f"{name}: {verdict}"]
    for problem in reading.problems:
        where = f"line {problem.line}, {problem.path}" if problem.line else problem.path
        value = f" ({problem.value})" if problem.value else ""
        lines.append(f"  {problem.level} {problem.rule} [{problem.section}] {where}: {problem.text}{value}")
        lines.append(f"    {problem.remedy}")
    return _line("\n".join(lines))


def _fields(problem: Problem) -> dict[str, Any]:
    return {name: getattr(problem, name) for name in Problem.__slots__}


# ---- explain -------------------------------------------------------------------------------------------------


def explain(ids: Sequence[str], table: Sequence[Rule], *, language: str, as_json: bool) -> Done:
    """The rules with these ids, or all of them: what each says, where it is from and how to mend its breach.

    Raises UnusableInput for an id that there is not."""
    by_id = {rule.id: rule for rule in table}
    if unknown := [id for id in ids if id not in by_id]:
        raise UnusableInput(f"there is no rule {', '.join(unknown)}")
    chosen = [_told(rule, language) for rule in ([by_id[id] for id in ids] if ids else table)]
    if as_json:
        names = ("id", "level", "section", "statement", "remedy")
        return Done(_line("\n".join(json.dumps({name: getattr(rule, name) for name in names}) for rule in chosen)))
    return Done(_line("\n".join(map(_explained, chosen))))


def _told(rule: Rule, language: str) -> Rule:
    statement, remedy = catalogue(language).get(rule.id, (rule.statement, rule.remedy))
    return replace(rule, statement=statement, remedy=remedy)


def _explained(rule: Rule) -> str:
    by_the_standard = rule.section[:1].isdigit()
    source = f"CAP-v1.2 {rule.section}" if by_the_standard else rule.section.replace("policy", "a policy of ours")
    return f"{rule.id} ({rule.level}, {source})\n  {rule.statement}\n  {rule.remedy}"


# ---- sign and verify -----------------------------------------------------------------------------------------


def sign(document: bytes, key_pem: bytes, certificate_pem: bytes, password: bytes | None = None) -> Done:
    """The same alert, signed. Raises UnusableInput."""
    try:
        key = load_pem_private_key(key_pem, password)
        (certificate, *_) = x509.load_pem_x509_certificates(certificate_pem)
        if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
            raise UnusableInput("the key is neither RSA nor ECDSA")
        return Done(signing.sign(document, key, certificate))
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise UnusableInput(str(exc)) from exc


def trust(pinned: bytes, authorities: bytes, names: Sequence[str]) -> Trust:
    """Whom to believe, by PEM texts. Raises UnusableInput."""
    try:
        return Trust.from_pem(pinned, authorities, names)
    except ValueError as exc:
        raise UnusableInput(f"a certificate cannot be read: {exc}") from exc


def instant(text: str) -> datetime:
    """A time as CAP writes it. Raises UnusableInput."""
    try:
        return moment(text)
    except ValueError as exc:
        raise UnusableInput(f"{text!r}: {exc}") from exc


def verify(name: str, document: bytes, believed: Trust, at: datetime, *, as_json: bool) -> Done:
    """What the signature of one document is worth."""
    found = signing.verify(document, believed, at)
    status = GOOD if found.standing is Standing.VERIFIED else BAD
    if not as_json:
        return Done(_line(f"{name}: {found.standing}: {found.reason}"), status)
    subject = found.certificate.subject.rfc4514_string() if found.certificate else ""
    record = {"file": name, "standing": found.standing, "reason": found.reason, "certificate": subject}
    return Done(_line(json.dumps(record)), status)


# ---- convert -------------------------------------------------------------------------------------------------

FORMS: dict[str, Callable[[Alert], bytes]] = {
    "xml": write,
    "json": to_json,
    "geojson": lambda alert: to_geojson([alert]),
}


def convert(document: bytes, form: str, terms: ReadingTerms) -> Done:
    """One alert, out of CAP XML of any version, its JSON form or an envelope, in another form. Raises UnusableInput.

    What is refused is not converted: a form that is easier to read must not make it look good.
    """
    reading = read(_as_xml(document), terms=terms)
    if reading.alert is None or not reading.accepted:
        raise UnusableInput(told("the alert", reading, as_json=False).decode().rstrip())
    return Done(FORMS[form](reading.alert))


def _as_xml(document: bytes) -> bytes:
    if document.lstrip()[:1] == b"{":
        try:
            return from_json(document)
        except ValueError as exc:
            raise UnusableInput(str(exc)) from exc
    envelope = edxl.unwrap(document, most=1)
    if envelope is None:
        return document
    if envelope.count != 1:
        raise UnusableInput(f"the envelope holds {envelope.count} alerts")
    return envelope.alerts[0].document


def _line(text: str) -> bytes:
    return text.encode() + b"\n"
