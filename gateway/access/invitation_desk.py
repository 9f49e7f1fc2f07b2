"""The desk of invitations: which there are, one more for who has lost his, one taken back."""

from dataclasses import dataclass

from gateway.access import rights_over_accounts as rights_over
from gateway.access.account_desk import managed, require_administrator, standing_of, told_as, visible
from gateway.access.inviting import TellInvitation, invited
from gateway.access.rights import Caller
from gateway.errors import Refusal
from store.access import invitations
from store.access.invitations import Invitation
from store.engine.database import Database
from store.engine.transaction import Transaction


@dataclass(frozen=True, slots=True)
class InvitationDesk:
    database: Database
    tell: TellInvitation | None = None
    """Sends what an invited person is told; None: nothing is sent."""

    async def listing(self, caller: Caller, code: str, after: str, most: int) -> tuple[list[Invitation], bool]:
        """The newest first, and whether there are more; `code`: those of one account. Raises Refusal 403, and 404 for
        an `after` that is none of the caller's."""
        require_administrator(caller)
        zones = rights_over.zones_of(caller)
        async with self.database.read() as conn:
            last = await invitations.of_public_id(conn, after) if after else None
            if after and last is None:
                raise _no_such()
            found = await invitations.page(
                conn,
                zones=zones,
                invited_by=caller.account_id,
                code=code,
                before_id=None if last is None else last.id,
                most=most + 1,
            )
        return found[:most], len(found) > most

    async def read(self, caller: Caller, public_id: str) -> Invitation:
        """Raises Refusal 404, also for one of an account that is no business of the caller's."""
        async with self.database.read() as conn:
            found = await invitations.of_public_id(conn, public_id)
            if found is None:
                raise _no_such()
            with told_as(_no_such):
                await visible(conn, caller, found.code)
        return found

    async def invite(self, caller: Caller, code: str) -> Invitation:
        """Another invitation for an account that nobody has taken up; those before it are worth nothing any more.
        Raises Refusal: 404, 403, 409 where there is nobody to invite."""

        async def work(tx: Transaction) -> Invitation:
            fresh = await standing_of(tx, caller)
            found = await managed(tx.conn, fresh, code, gives=True)
            if found.state != "invited":
                raise Refusal(409, "nobody-to-invite", "This account is taken up already, or it is disabled.")
            made = await invited(tx, found.id, fresh.actor, fresh.name, self.tell)
            kept = await invitations.of_public_id(tx.conn, made.public_id)
            assert kept is not None
            return kept

        return await self.database.write(work)

    async def withdraw(self, caller: Caller, public_id: str) -> Invitation:
        """Raises Refusal: 404, 403, 409 for one that is used, or whose time is over."""

        async def work(tx: Transaction) -> Invitation:
            fresh = await standing_of(tx, caller)
            found = await invitations.of_public_id(tx.conn, public_id)
            if found is None:
                raise _no_such()
            with told_as(_no_such):
                await managed(tx.conn, fresh, found.code, gives=False)
            if not await invitations.withdraw(tx, found, fresh.actor) and found.state(tx.now_ms) != "withdrawn":
                raise Refusal(409, "invitation-over", "This invitation was used, or its time is over.")
            kept = await invitations.of_public_id(tx.conn, public_id)
            assert kept is not None
            return kept

        return await self.database.write(work)


def _no_such() -> Refusal:
    return Refusal(404, "no-such-invitation", "There is no such invitation.")
