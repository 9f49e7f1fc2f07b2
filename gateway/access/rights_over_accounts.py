"""Who sees, changes and raises which account: one question an act, each asked of `Caller`. Pure.

Whoever administers the whole of a zone sees the accounts that have rights in it, and those that he invited. An account
that has rights beyond his zones is not his to change: of it he gives and takes the rights in his zones alone. Nobody
gives what he does not hold himself, on any way: not as a right, and not as a key or an address by which an account
with that right comes in.
"""

from collections.abc import Collection, Iterable

from gateway.access.rights import Action, Caller, Right
from gateway.errors import Reason, Refusal
from store.access.accounts import RightRow

PLATFORM_TYPES = frozenset({"operator"})
"""Made by those alone who administer every zone."""


def zones_of(caller: Caller) -> frozenset[int] | None:
    """The zones of which the caller administers the whole; None: all."""
    return caller.whole_zones(Action.ADMINISTER)


def sees(caller: Caller, rights: Iterable[RightRow], invited_by: int | None) -> bool:
    """Whether the account with these rights is any business of the caller's."""
    zones = zones_of(caller)
    if zones is None:
        return True
    return bool(zones) and (invited_by == caller.account_id or any(right.zone_id in zones for right in rights))


def manages(caller: Caller, rights: Iterable[RightRow], invited_by: int | None) -> bool:
    """Whether the caller may name, disable and end the account: all its rights are in zones of the caller's."""
    rights, zones = tuple(rights), zones_of(caller)
    within = zones is None or all(right.zone_id in zones for right in rights)
    return within and sees(caller, rights, invited_by)


def answers_for(caller: Caller, rights: Iterable[RightRow], invited_by: int | None) -> bool:
    """Whether the caller may give out ways by which the account comes in (keys, invitations, its mail address): he
    manages it, and holds himself all that it may do."""
    rights = tuple(rights)
    return manages(caller, rights, invited_by) and all(caller.holds(right_of(right)) for right in rights)


def may_make(caller: Caller, type_: str) -> bool:
    """Whether the caller may make an account of this type, or make one of it. An auditor sees no names of people, so
    he makes nobody who does."""
    if type_ in PLATFORM_TYPES:
        return zones_of(caller) is None
    return caller.type != "auditor" or type_ == "auditor"


def not_given(caller: Caller, given: Collection[RightRow]) -> list[RightRow]:
    """Of these rights, those that are not the caller's to give: of zones that he does not administer, or not his."""
    zones = zones_of(caller)
    return [
        right
        for right in given
        if not ((zones is None or right.zone_id in zones) and caller.holds(right_of(right)))
    ]  # fmt: skip


def right_of(row: RightRow) -> Right:
    return Right(row.action, row.zone_id, row.network_id, row.kind, row.channel, row.mode)


# ---- refusals --------------------------------------------------------------------------------------------------------


def no_such() -> Refusal:
    """Also where it is no business of the caller's: that it exists is not told."""
    return Refusal(404, "no-such-account", "There is no such account.")


def not_yours() -> Refusal:
    text = "This takes the right `administer` in the whole of every zone in which the account has rights."
    remedy = "Ask somebody who administers all of them."
    return Refusal(
        403, "not-your-account", "This account is not yours to change.", (Reason("A-ACCOUNT", text, remedy=remedy),)
    )


def beyond_you() -> Refusal:
    text = (
        "It may do what you may not: keys, invitations and addresses of it are for somebody who holds all its rights."
    )
    remedy = "Ask somebody who holds them."
    return Refusal(
        403, "not-your-account", "This account is not yours to change.", (Reason("A-BEYOND", text, remedy=remedy),)
    )


def of_paper_code() -> Refusal:
    text = "It is the account by which a zone's paper code acts: it comes and goes with the code."
    remedy = "Ask the operator for another code ('tocsin break-glass issue')."
    return Refusal(
        403, "not-your-account", "This account is not yours to change.", (Reason("A-PAPER", text, remedy=remedy),)
    )


def not_yourself() -> Refusal:
    text = "Nobody raises, enables or ends himself, or gives himself keys."
    remedy = "Ask another administrator; your own profile is at /api/v1/me."
    return Refusal(
        403, "not-yourself", "Your own account is not changed here.", (Reason("A-SELF", text, remedy=remedy),)
    )
