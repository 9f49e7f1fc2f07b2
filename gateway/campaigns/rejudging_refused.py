"""Refused documents against the rules of today: the conformance report of the desk. Sends nothing, writes nothing.

What is judged is the document: who may send, which kind it is and whom it reaches were decided afterwards, and may have
been why it was refused. Then it is among those that would be read today.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

import cap
from cap import Level, Limits, Problem, Reading
from gateway.campaigns.request_body import open_body
from gateway.directory.agreements import USUAL, Agreement, agreements, read_terms
from gateway.errors import Refusal
from store.access import accounts
from store.campaigns import refused_documents
from store.campaigns.refused_documents import RefusedDocument
from store.engine.database import Database

_MOST_SENDERS = 5
_PAGE = 50
_DAY_MS = 86_400_000


class SeenDocument(msgspec.Struct, frozen=True):
    """One document to be judged, where it is from, and how often it came; the verdict of then, if there was one."""

    name: str
    body: bytes
    agreements: Mapping[str, Agreement] = {}
    """Of its account, by sender."""
    times: int = 1
    code: str = ""
    """Of the refusal."""
    sender: str = ""
    identifier: str = ""
    """What it said of these, where it could be read so far."""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One document as it is read today."""

    name: str
    sender: str
    identifier: str
    times: int
    code: str
    accepted: bool
    problems: tuple[Problem, ...]


class RuleFound(msgspec.Struct, frozen=True, kw_only=True):
    """One rule, in how many documents it refuses, and the first of them."""

    rule: str
    documents: int
    senders: tuple[str, ...]
    example: str
    path: str
    line: int
    text: str
    remedy: str


class Conformance(msgspec.Struct, frozen=True, kw_only=True):
    documents: int
    times: int
    accepted: int
    """By the rules of today."""
    refused_for: Mapping[str, int]
    """By the code of then: how many documents."""
    rules: tuple[RuleFound, ...]
    judged: tuple[Judged, ...]


@dataclass(slots=True)
class _Rule:
    first: Judged
    problem: Problem
    documents: int = 0
    senders: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which documents: the files, or what is kept of an account, of a sender, of the last days ("": of all)."""

    files: tuple[Path, ...] = ()
    account: str = ""
    sender: str = ""
    days: int = 90


async def replay(database: Database, wanted: Wanted, limits: Limits) -> Conformance:
    """Judges the documents that are wanted, beside a running server. Raises OSError for a file that cannot be read."""
    async with database.read() as conn:
        rows = await accounts.terms_of_all(conn)
    agreed = {row.account_id: agreements(read_terms(row.terms)) for row in rows}
    if wanted.files:
        # Of a file nobody knows the account: each sender is held to what is agreed with whoever posts as it.
        everybody = {sender: a for by_sender in agreed.values() for sender, a in by_sender.items()}
        return conformance(
            judged(SeenDocument(str(file), file.read_bytes(), everybody), limits) for file in wanted.files
        )
    found: list[Judged] = []
    async for kept, body in _kept(database, wanted):
        seen = SeenDocument(
            kept.public_id, body, agreed[kept.account_id], kept.times, kept.code, kept.sender, kept.identifier
        )
        found.append(await asyncio.to_thread(judged, seen, limits))
    return conformance(found)


async def _kept(database: Database, wanted: Wanted) -> AsyncIterator[tuple[RefusedDocument, bytes]]:
    since_ms = database.clock.now_ms() - wanted.days * _DAY_MS
    last: RefusedDocument | None = None
    while True:
        async with database.read() as conn:
            page = await refused_documents.latest(
                conn, account_code=wanted.account, sender=wanted.sender, since_ms=since_ms, before=last, most=_PAGE
            )
            bodies = [await refused_documents.body_of(conn, kept.id) for kept in page]
        for kept, body in zip(page, bodies, strict=True):
            if body is not None:
                yield kept, body
        if len(page) < _PAGE:
            return
        last = page[-1]


# ---- judging -----------------------------------------------------------------------------------------------------


def judged(seen: SeenDocument, limits: Limits = cap.DEFAULT_LIMITS) -> Judged:
    """The document as it would be read today."""
    try:
        document = open_body(seen.body).document
    except Refusal as refusal:
        (reason, *_) = refusal.reasons
        problem = Problem(reason.rule, Level.ERROR, "/", None, "policy", reason.text, reason.value, reason.remedy)
        return _judged(seen, Reading(None, (problem,)))
    return _judged(seen, cap.read(document, limits, terms_of=lambda s: seen.agreements.get(s, USUAL).terms))


def _judged(seen: SeenDocument, reading: Reading) -> Judged:
    alert = reading.alert
    return Judged(
        name=seen.name,
        sender=alert.sender if alert else seen.sender,
        identifier=alert.identifier if alert else seen.identifier,
        times=seen.times,
        code=seen.code,
        accepted=reading.accepted,
        problems=tuple(problem for problem in reading.problems if problem.level is Level.ERROR),
    )


def conformance(found: Iterable[Judged]) -> Conformance:
    """What the documents have in common: the rules that refuse most of them first."""
    documents = tuple(found)
    rules: dict[str, _Rule] = {}
    for each in documents:
        first: dict[str, Problem] = {}
        for problem in each.problems:
            first.setdefault(problem.rule, problem)
        for rule, problem in first.items():
            entry = rules.setdefault(rule, _Rule(each, problem))
            entry.documents += 1
            entry.senders[each.sender or "?"] += 1
    return Conformance(
        documents=len(documents),
        times=sum(each.times for each in documents),
        accepted=sum(each.accepted for each in documents),
        refused_for=dict(Counter(each.code for each in documents if each.code).most_common()),
        rules=tuple(_rule(rule, found) for rule, found in sorted(rules.items(), key=lambda item: -item[1].documents)),
        judged=documents,
    )


def _rule(rule: str, found: _Rule) -> RuleFound:
    problem = found.problem
    return RuleFound(
        rule=rule,
        documents=found.documents,
        senders=tuple(sender for sender, _ in found.senders.most_common(_MOST_SENDERS)),
        example=found.first.name,
        path=problem.path,
        line=problem.line or 0,
        text=problem.text,
        remedy=problem.remedy,
    )


def lines(report: Conformance) -> Iterator[str]:
    """The report as lines for a terminal."""
    if not report.documents:
        yield "There are no refused documents."
        return
    came = f", which came {report.times} times" if report.times > report.documents else ""
    yield f"{_counted(report.documents)}{came}. By the rules of today {report.accepted} would be read."
    if report.refused_for:
        counts = ", ".join(f"{code} {count}" for code, count in report.refused_for.items())
        yield f"They were refused for: {counts}."
    for rule in report.rules:
        yield ""
        yield f"{rule.rule}: {_counted(rule.documents)}, from {', '.join(rule.senders)}"
        where = f"line {rule.line}, {rule.path}" if rule.line else rule.path
        yield f"  as in {rule.example}, {where}: {rule.text}"
        yield f"  {rule.remedy}"


def _counted(documents: int) -> str:
    return f"{documents} document{'' if documents == 1 else 's'}"
