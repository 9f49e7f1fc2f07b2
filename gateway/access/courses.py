"""The desk of courses: who notes what somebody has learnt, and when an alert takes it.

Who keeps the accounts of a zone sees the courses of whoever has a right there. Noting one opens live alerts in every
zone of that account that demands courses, so it takes the right `administer` in all of them; and nobody notes their
own.
"""

from dataclasses import dataclass
from datetime import date
from typing import Annotated

import msgspec

from channels.contract import Mode
from gateway.access.rights import Action, Caller
from gateway.directory.zone_policy import day_of
from gateway.errors import Reason, Refusal
from gateway.kinds import Kind
from gateway.unseen_characters import visible
from store.access import courses
from store.access.courses import CourseRow, TaughtAccount
from store.engine.database import Database

EXEMPT = "cic"
"""The type of accounts that are systems of a dispatch centre: a machine follows no course, and alerts of people who did
or did not arrive by it."""
_OLDEST = date(1990, 1, 1)


class CourseRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A course that somebody has followed."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    on_date: date
    """The day on which it ended, not a coming one."""


@dataclass(frozen=True, slots=True)
class CourseDesk:
    database: Database

    async def listing(self, caller: Caller, code: str) -> list[CourseRow]:
        """The courses of an account, the latest first. Raises Refusal 404 for an account that is none of the caller's
        business: that it exists is not told."""
        async with self.database.read() as conn:
            taught = await courses.find(conn, code)
            if taught is None or not sees(caller, taught):
                raise Refusal(404, "no-such-account", "There is no such account.")
            return await courses.of_account(conn, taught.id)

    async def own(self, caller: Caller) -> list[CourseRow]:
        async with self.database.read() as conn:
            return await courses.of_account(conn, caller.account_id)

    async def read(self, caller: Caller, code: str, number: str) -> CourseRow:
        """Raises Refusal 404."""
        for one in await self.listing(caller, code):
            if str(one.id) == number:
                return one
        raise _no_such_course()

    async def note(self, caller: Caller, code: str, asked: CourseRequest) -> CourseRow:
        """Notes a course; the same one again is the one that stands. Raises Refusal: 404, 403, 409, 422."""
        taught = await self._taught(caller, code)
        fault = unsound(asked, day_of(self.database.clock.now_ms()))
        if fault is not None:
            raise Refusal(422, "bad-course", "The course is not as it must be.", (fault,))
        name, day, by = asked.name, asked.on_date.isoformat(), caller.actor
        noted = await self.database.write(lambda tx: courses.note(tx, taught, name, day, by))
        if noted is None:
            title = f"An account has {courses.MOST} courses at most."
            reason = Reason("COURSE", title, remedy="Remove an old one.", cause="most", facts=(str(courses.MOST),))
            raise Refusal(409, "too-many-courses", title, (reason,))
        return noted

    async def remove(self, caller: Caller, code: str, seen: CourseRow) -> None:
        """Takes a course away that was noted by mistake. Raises Refusal: 404, 403."""
        taught = await self._taught(caller, code)
        by = caller.actor
        if not await self.database.write(lambda tx: courses.remove(tx, taught, seen.id, by)):
            raise _no_such_course()

    async def _taught(self, caller: Caller, code: str) -> TaughtAccount:
        """The account, where its courses are the caller's to note."""
        async with self.database.read() as conn:
            taught = await courses.find(conn, code)
        if taught is None or not sees(caller, taught):
            raise Refusal(404, "no-such-account", "There is no such account.")
        refused = refusal_to_note(caller, taught)
        if refused is not None:
            raise Refusal(403, "not-yours-to-note", "This account may not note or remove courses here.", (refused,))
        return taught


def unsound(asked: CourseRequest, today: date) -> Reason | None:
    """What is wrong with a course, on a day; None: nothing is."""
    if not _OLDEST <= asked.on_date <= today:
        facts = (_OLDEST.isoformat(), today.isoformat())
        text, remedy = (
            f"A course was followed on a day from {facts[0]} to {facts[1]}.",
            "Give the day on which it ended.",
        )
        return Reason("COURSE", text, remedy=remedy, cause="day", facts=facts, path="$.on_date", pointer="/on_date")
    if visible(asked.name) != asked.name or not asked.name.strip():
        text, remedy = "The name of a course is one line that can be seen.", "Leave control characters out."
        return Reason("COURSE", text, remedy=remedy, cause="name", path="$.name", pointer="/name")
    return None


def sees(caller: Caller, taught: TaughtAccount) -> bool:
    """Whether the courses of an account are any business of a caller's."""
    whole = caller.whole_zones(Action.ADMINISTER)
    return whole is None or bool(whole & taught.zones)


def refusal_to_note(caller: Caller, taught: TaughtAccount) -> Reason | None:
    """Why a caller may not note courses of an account that it sees; None: it may."""
    if taught.id in (caller.account_id, caller.behalf_id):
        return Reason("COURSE", "Nobody notes a course of their own.", remedy="Ask somebody else to.", cause="own")
    whole = caller.whole_zones(Action.ADMINISTER)
    if whole is None or taught.zones <= whole:
        return None
    text = "This takes the right `administer` in every zone in which that account has a right."
    remedy = "Ask somebody who has it, or the operator."
    return Reason("COURSE", text, remedy=remedy, cause="zones")


def takes_course(caller: Caller, kind: Kind, mode: Mode) -> bool:
    """Whether a zone may demand a course of who launches this: a live alert of a person."""
    return kind is Kind.ALERT and mode is Mode.LIVE and caller.type != EXEMPT


def is_recent(last: date | None, today: date, within_days: int) -> bool:
    """Whether a course of that day still counts: the last day on which it does is `within_days` after it."""
    return last is not None and 0 <= (today - last).days <= within_days


async def last_course(database: Database, caller: Caller, at_ms: int) -> date | None:
    """The day of the caller's last course by an instant; None: there is none."""
    async with database.read() as conn:
        found = await courses.latest(conn, caller.account_id, day_of(at_ms).isoformat())
    return None if found is None else date.fromisoformat(found)


def _no_such_course() -> Refusal:
    return Refusal(404, "no-such-course", "This account has no such course.")
