"""Invitations: a link by which a person takes up an account, once, within seven days. Knows hashes of tokens only after
the one time that a token is handed out."""

import hashlib
import secrets
from collections.abc import Iterable
from typing import Literal

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store.access.accounts import note_of_account
from store.access.managing import seen_from
from store.audit_line import SERVER, Actor
from store.engine.transaction import Transaction
from store.tables import account, invitation, progress

LIFE_MS = 7 * 24 * 3_600_000
InvitationState = Literal["made", "sent", "delivered", "bounced", "opened", "accepted", "withdrawn", "expired"]
_OPEN = ("made", "opened")
_TOKEN_BYTES = 32


class NewInvitation(msgspec.Struct, frozen=True):
    """An invitation that was made a moment ago: the one time that its token is there to be handed over."""

    id: int
    public_id: str
    token: str
    ends_ms: int


class Invitation(msgspec.Struct, frozen=True):
    id: int
    public_id: str
    account_id: int
    code: str
    """Of its account, as its name and mail address."""
    name: str
    email: str
    made_ms: int
    ends_ms: int
    made_by: str | None
    """The code of the account that made it; None: somebody at the terminal."""
    kept_state: str
    state_ms: int
    accepted: int = 0
    """Deliveries of its notice that a carrier has taken and said nothing more of."""
    delivered: int = 0
    failed: int = 0

    def state(self, now_ms: int) -> InvitationState:
        """What is known of it: what its person did, else what became of its notice, else that its time is over."""
        if self.kept_state in ("accepted", "withdrawn"):
            return "accepted" if self.kept_state == "accepted" else "withdrawn"
        if self.ends_ms <= now_ms:
            return "expired"
        if self.kept_state == "opened":
            return "opened"
        if self.delivered:
            return "delivered"
        return "bounced" if self.failed else "sent" if self.accepted else "made"


def hashed_token(token: str) -> str:
    """All that is kept of a token, which is random and long: SHA-256, hexadecimal."""
    return hashlib.sha256(token.encode()).hexdigest()


_maker = account.alias("maker")
_counted = (
    sa.select(
        progress.c.campaign_id,
        *(sa.func.sum(progress.c[name]).label(name) for name in ("accepted", "delivered", "failed")),
    )
    .where(progress.c.campaign_id.in_(sa.select(invitation.c.campaign_id)))
    .group_by(progress.c.campaign_id)
    .subquery()
)
_invitations = (
    sa.select(
        invitation.c.id, invitation.c.public_id, invitation.c.account_id, account.c.code, account.c.name,
        account.c.email, invitation.c.made_ms, invitation.c.ends_ms, _maker.c.code.label("made_by"),
        invitation.c.state.label("kept_state"), invitation.c.state_ms,
        *(sa.func.coalesce(_counted.c[name], 0) for name in ("accepted", "delivered", "failed")),
    )
    .join(account, account.c.id == invitation.c.account_id)
    .outerjoin(_maker, _maker.c.id == invitation.c.made_by)
    .outerjoin(_counted, _counted.c.campaign_id == invitation.c.campaign_id)
)  # fmt: skip


async def page(
    conn: AsyncConnection,
    *,
    zones: Iterable[int] | None,
    invited_by: int,
    code: str = "",
    before_id: int | None = None,
    most: int,
) -> list[Invitation]:
    """The newest first: of accounts with a right in one of these zones, and of those that `invited_by` has invited;
    `zones` None: of all."""
    statement = _invitations.order_by(invitation.c.id.desc()).limit(most)
    if zones is not None:
        statement = statement.where(seen_from(zones, invited_by))
    if code:
        statement = statement.where(account.c.code == code)
    if before_id is not None:
        statement = statement.where(invitation.c.id < before_id)
    return [Invitation(*row) for row in (await conn.execute(statement)).all()]


async def of_public_id(conn: AsyncConnection, public_id: str) -> Invitation | None:
    row = (await conn.execute(_invitations.where(invitation.c.public_id == public_id))).first()
    return None if row is None else Invitation(*row)


# ---- changing --------------------------------------------------------------------------------------------------------


async def make(tx: Transaction, account_id: int, by: Actor = SERVER) -> NewInvitation:
    """A new invitation of an account: those before it are worth nothing from now on."""
    code = await _hold(tx, account_id)
    await _withdraw_open(tx, account_id)
    token, public_id = secrets.token_urlsafe(_TOKEN_BYTES), secrets.token_hex(10)
    row = await tx.first(
        sa.insert(invitation)
        .values(
            public_id=public_id,
            account_id=account_id,
            token_sha256=hashed_token(token),
            made_ms=tx.now_ms,
            ends_ms=tx.now_ms + LIFE_MS,
            made_by=by.account_id,
            state="made",
            state_ms=tx.now_ms,
        )
        .returning(invitation.c.id)
    )
    assert row is not None
    await note_of_account(tx, account_id, "invitation-make", code, by, detail={"invitation": public_id})
    return NewInvitation(int(row.id), public_id, token, tx.now_ms + LIFE_MS)


async def has_notice(tx: Transaction, invitation_id: int, campaign_id: int) -> None:
    """Its notice left as this campaign: what becomes of its delivery is what is known of the invitation."""
    mine = invitation.c.id == invitation_id
    await tx.run(sa.update(invitation).where(mine).values(campaign_id=campaign_id))


async def is_known(conn: AsyncConnection, token_sha256: str) -> bool:
    """Whether there was ever an invitation of this token, good or not: whoever guesses makes no writer work."""
    statement = sa.select(invitation.c.id).where(invitation.c.token_sha256 == token_sha256)
    return (await conn.execute(statement)).first() is not None


async def open(tx: Transaction, token_sha256: str) -> Invitation | None:
    """The invitation of a token that is good now, which somebody has opened; None: there is none, its time is over, it
    was used or taken back, or its account is disabled or ended. Which of these it was is not told."""
    row = await tx.first(_invitations.where(invitation.c.token_sha256 == token_sha256, *_good(tx)))
    if row is None:
        return None
    found = Invitation(*row)
    if found.kept_state == "made":
        await _move(tx, found.id, "opened")
    return found


async def accept(tx: Transaction, invitation_id: int, by: Actor = SERVER) -> bool:
    """Its account may come in from now on, and the invitation is worth nothing more. False where it is not good any
    more: of two who accept it at once one does."""
    row = await tx.first(_invitations.where(invitation.c.id == invitation_id, *_good(tx)))
    if row is None or not await _move(tx, invitation_id, "accepted"):
        return False
    found = Invitation(*row)
    joined = sa.update(account).where(account.c.id == found.account_id, account.c.joined_ms.is_(None))
    await tx.run(joined.values(joined_ms=tx.now_ms, revision=account.c.revision + 1, changed_ms=tx.now_ms))
    detail = {"invitation": found.public_id}
    await note_of_account(tx, found.account_id, "invitation-accept", found.code, by, detail=detail)
    return True


async def withdraw(tx: Transaction, seen: Invitation, by: Actor) -> bool:
    """Takes an invitation back. False where it was used, taken back, or its time was over already."""
    if seen.ends_ms <= tx.now_ms or not await _move(tx, seen.id, "withdrawn"):
        return False
    detail = {"invitation": seen.public_id}
    await note_of_account(tx, seen.account_id, "invitation-withdraw", seen.code, by, detail=detail)
    return True


async def withdraw_all(tx: Transaction, account_id: int) -> None:
    """Takes back whatever invitation of an account is open: it ends, or has another mail address."""
    await _hold(tx, account_id)
    await _withdraw_open(tx, account_id)


async def _hold(tx: Transaction, account_id: int) -> str:
    """The row of the account is the lock under which its invitations are made. Returns its code."""
    locked = sa.update(account).where(account.c.id == account_id).values(code=account.c.code)
    row = await tx.first(locked.returning(account.c.code))
    assert row is not None
    return str(row.code)


async def _withdraw_open(tx: Transaction, account_id: int) -> None:
    mine = sa.and_(invitation.c.account_id == account_id, invitation.c.state.in_(_OPEN))
    await tx.run(sa.update(invitation).where(mine).values(state="withdrawn", state_ms=tx.now_ms))


def _good(tx: Transaction) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        invitation.c.state.in_(_OPEN),
        invitation.c.ends_ms > tx.now_ms,
        account.c.disabled_ms.is_(None),
        account.c.ended_ms.is_(None),
    )


async def _move(tx: Transaction, invitation_id: int, state: str) -> bool:
    open_one = sa.and_(invitation.c.id == invitation_id, invitation.c.state.in_(_OPEN))
    return await tx.run(sa.update(invitation).where(open_one).values(state=state, state_ms=tx.now_ms)) == 1
