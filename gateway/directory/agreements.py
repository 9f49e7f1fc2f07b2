"""What is agreed about alerts of one `sender`: versions, profiles, policies, signatures, whose alerts it may change.

The form in which a seed file gives it and the register keeps it, what is wrong with one, and what `cap` makes of it.
No I/O; time is an argument. `gateway/campaigns/request_body.py` holds alerts to it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from msgspec import Meta

from cap import RULES, ReadingTerms
from cap.profile import NAMES, Profile, profile
from cap.signing import SignaturePolicy
from cap.terms import POLICIES
from cap.trust import Trust, is_strong

MOST_CERTIFICATES = 16
ShortText = Annotated[str, Meta(min_length=1, max_length=255)]
Pem = Annotated[str, Meta(max_length=100_000)]
_SIGNED: Mapping[str, SignaturePolicy] = {
    "none": SignaturePolicy.IGNORED,
    "accept": SignaturePolicy.CHECKED,
    "require": SignaturePolicy.REQUIRED,
}
_MARK = "-----BEGIN CERTIFICATE-----"


class SenderTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is agreed with one sender, as a seed file has it (docs/seed-format.md)."""

    sender: ShortText
    versions: tuple[Literal["1.0", "1.1", "1.2"], ...] = ("1.2",)
    profiles: tuple[str, ...] = ()
    """Beside the rules that always hold: be-plp, google, ipaws."""
    relaxed: tuple[str, ...] = ()
    """Ids of rows of those profiles that only warn when they are not kept."""
    strict: tuple[str, ...] = ()
    """Ids of policies of ours that refuse when they are not kept; without being named here they warn."""
    signature: Literal["none", "accept", "require"] = "none"
    certificates: Pem = ""
    """PEM: the sender's own."""
    authorities: Pem = ""
    """PEM: who may have issued the sender's."""
    names: tuple[ShortText, ...] = ()
    """One of which a certificate issued by an authority must bear."""
    acts_for: tuple[ShortText, ...] = ()
    """Other senders whose alerts it may update and cancel."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """What is agreed with one sender, ready for alerts to be held to."""

    terms: ReadingTerms
    policy: SignaturePolicy
    trust: Trust
    acts_for: frozenset[str]


USUAL = Agreement(ReadingTerms(), SignaturePolicy.IGNORED, Trust(), frozenset())
"""With senders about whom nothing is said."""


def read_terms(text: str) -> tuple[SenderTerms, ...]:
    """The terms that `account.terms` holds. Raises msgspec.ValidationError."""
    return msgspec.json.decode(text, type=tuple[SenderTerms, ...])


def write_terms(terms: Sequence[SenderTerms]) -> str:
    return msgspec.json.encode(terms).decode()


def agreements(terms: Sequence[SenderTerms]) -> dict[str, Agreement]:
    """The agreements of an account, by sender. Raises ValueError for what `faults` names."""
    return {entry.sender: _agreement(entry) for entry in terms}


def _agreement(entry: SenderTerms) -> Agreement:
    profiles = tuple(map(profile, entry.profiles))
    # A rule that a later version of this program no longer knows must not lock its sender out.
    known = POLICIES | _own_rules(profiles)
    relaxed, strict = frozenset(entry.relaxed) & known, frozenset(entry.strict) & known
    return Agreement(
        ReadingTerms(frozenset(entry.versions), profiles, relaxed, strict),
        _SIGNED[entry.signature],
        Trust.from_pem(entry.certificates.encode(), entry.authorities.encode(), entry.names),
        frozenset(entry.acts_for),
    )


# ---- what is wrong with one, and what is only worth a word ----------------------------------------------------


def faults(terms: Sequence[SenderTerms], senders: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What is wrong with terms that no type can say, as (path below the list, sentence); `senders` are those of the
    account."""
    seen: set[str] = set()
    for place, entry in enumerate(terms):
        if entry.sender not in senders:
            yield f"[{place}].sender", f"{entry.sender} is none of the account's senders"
        if entry.sender in seen:
            yield f"[{place}].sender", f"the terms of {entry.sender} stand here already"
        seen.add(entry.sender)
        for path, sentence in (*_reading_faults(entry), *_signing_faults(entry)):
            yield f"[{place}].{path}", sentence


def _reading_faults(entry: SenderTerms) -> Iterator[tuple[str, str]]:
    if not entry.versions:
        yield "versions", "without a version nothing can be read from this sender"
    unknown = [name for name in entry.profiles if name not in NAMES]
    for name in unknown:
        yield "profiles", f"there is no profile {name}; there are {', '.join(NAMES)}"
    chosen = [profile(name) for name in entry.profiles if name not in unknown]
    own = _own_rules(chosen)
    sections = {rule.id: rule.section for rule in RULES}
    for path, rules, verb in (("relaxed", entry.relaxed, "relaxed"), ("strict", entry.strict, "made strict")):
        for rule in rules:
            if rule in POLICIES | own:
                continue
            if rule not in sections:
                yield path, f"there is no rule {rule}, neither of the table nor of the profiles named here"
            elif sections[rule] == "policy":
                yield path, f"{rule} keeps the gateway safe and cannot be {verb}"
            else:
                yield path, f"{rule} is what CAP itself demands ({sections[rule]}) and cannot be {verb}"
    for rule in sorted(set(entry.relaxed) & set(entry.strict)):
        yield "strict", f"{rule} is relaxed too: it can be one of both"


def _own_rules(profiles: Iterable[Profile]) -> frozenset[str]:
    return frozenset(rule.id for each in profiles for rule in each.rules)


def _signing_faults(entry: SenderTerms) -> Iterator[tuple[str, str]]:
    for path, pem in (("certificates", entry.certificates), ("authorities", entry.authorities)):
        yield from ((path, sentence) for sentence in _pem_faults(pem))
    if entry.signature != "none" and not (entry.certificates or entry.authorities):
        yield "signature", "without certificates or authorities no signature of this sender can be verified"
    if entry.authorities and not entry.names:
        yield "names", "without names anybody whom the authorities know could sign for this sender"
    if entry.names and not entry.authorities:
        yield "names", "names are for certificates that authorities issue, and none are given"


def _pem_faults(pem: str) -> Iterator[str]:
    if "PRIVATE KEY-----" in pem:
        yield "a private key is nothing for this file: give the certificate alone, and replace the key"
        return
    if pem and pem.count(_MARK) > MOST_CERTIFICATES:
        yield f"there are more than {MOST_CERTIFICATES} certificates"
        return
    try:
        weak = [(n, _named(each)) for n, each in enumerate(_certificates(pem), 1) if not is_strong(each)]
    except (ValueError, UnsupportedAlgorithm):
        yield f"this cannot be read as certificates in PEM ({_MARK} ...)"
        return
    for number, name in weak:
        yield f"certificate {number} ({name}) has a key that is neither RSA from 2048 bits nor ECDSA from 256"


def remarks(terms: Sequence[SenderTerms], at: datetime) -> Iterator[tuple[str, str]]:
    """(path below the list, sentence) of certificates that verify nothing `at` that (aware) time, and of certificates
    that nobody asks for. To be called for terms without faults only."""
    for place, entry in enumerate(terms):
        for path, pem in (("certificates", entry.certificates), ("authorities", entry.authorities)):
            for number, certificate in enumerate(_certificates(pem), 1):
                for sentence in _validity(certificate, at):
                    yield f"[{place}].{path}", f"certificate {number} ({_named(certificate)}) {sentence}"
        if entry.signature == "none" and (entry.certificates or entry.authorities):
            yield f"[{place}].signature", 'certificates are given and not looked at: say "accept" or "require"'
        if entry.signature == "require" and set(entry.versions) - {"1.2"}:
            yield f"[{place}].versions", "signatures of older versions are not verified: with these terms none is taken"


def _validity(certificate: x509.Certificate, at: datetime) -> Iterator[str]:
    if certificate.not_valid_after_utc < at:
        yield f"expired on {certificate.not_valid_after_utc:%Y-%m-%d}"
    elif certificate.not_valid_before_utc > at:
        yield f"is valid only from {certificate.not_valid_before_utc:%Y-%m-%d}"


def _certificates(pem: str) -> tuple[x509.Certificate, ...]:
    return Trust.from_pem(pem.encode()).pinned


def _named(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()[:100] or "without a name"
