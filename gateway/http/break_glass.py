"""The handler of paper codes: a zone is opened for an hour to whoever has its code."""

from typing import Literal

import msgspec

from gateway.access.break_glass_desk import BreakGlassWish
from gateway.http.asking import Answer, Asked, NoQuery
from gateway.http.cookies import cookie_of
from gateway.http.sessions import visit_of


class OpenedByCode(msgspec.Struct, frozen=True, kw_only=True):
    """A zone that is open for a while to the browser that this answers."""

    id: str
    """Stands in the audit, and in the report of whatever is launched."""
    zone: str
    mode: Literal["live", "simulation"]
    account: str
    """As which the browser acts from here on."""
    began_ms: int
    ends_ms: int


async def use(asked: Asked[NoQuery, BreakGlassWish]) -> Answer:
    """For when nobody of a zone can sign in: may launch, read and stop in the zone for an hour, with the name and the
    reason in the report. All administrators are told at once. The code is worth nothing afterwards, also where it was a
    rehearsal. The answer is the same for a code that is none, one that was used, and a zone that there is not."""
    opened = await asked.context.services.break_glass.use(asked.body, visit_of(asked))
    used = opened.use
    shown = OpenedByCode(
        id=used.public_id, zone=used.zone, mode=used.mode, account=used.account,
        began_ms=used.began_ms, ends_ms=used.ends_ms,
    )  # fmt: skip
    return Answer(shown, headers=cookie_of(opened.token, asked.context.services.sign_in.parts.site))
