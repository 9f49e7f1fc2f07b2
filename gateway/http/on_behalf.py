"""The header by which somebody acts on behalf of another account: read, or refused where nothing is for others."""

from aiohttp import web

from gateway.access.on_behalf import acting_for, require_may
from gateway.access.rights import Caller
from gateway.errors import Reason, Refusal
from store.access import accounts
from store.engine.database import Database

BEHALF = "On-Behalf-Of"
_LONGEST = 64


async def acting(request: web.Request, caller: Caller, database: Database, *, is_taken: bool) -> Caller:
    """Who acts: the caller, or the caller on behalf of the account that the header names. `is_taken`: whether the route
    takes it. Raises Refusal 400, 403; the rights of the account are read anew for each request."""
    given = request.headers.getall(BEHALF, [])
    if not given:
        return caller
    if not is_taken:
        text = f"Nothing is done here on behalf of others: {BEHALF} is for campaigns."
        raise _unfit(text, "Leave it out, and act for yourself.", "not-here")
    require_may(caller)
    if len(given) > 1 or not 0 < len(given[0]) <= _LONGEST:
        raise _unfit(f"{BEHALF} is given once, with the code of one account.", "Give one code.", "one-code")
    async with database.read() as conn:
        named = await accounts.find_code(conn, given[0])
    return acting_for(caller, named)


def _unfit(text: str, remedy: str, cause: str) -> Refusal:
    reason = Reason("HEADER", text, path=BEHALF, remedy=remedy, cause=cause)
    return Refusal(400, "bad-behalf", "On-Behalf-Of is not as it should be.", (reason,))
