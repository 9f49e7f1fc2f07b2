"""Who may act on behalf of another account, and what is left of himself when he does. Pure.

The operator of the platform does for a zone what somebody of it asked for: with the rights of that account and no more,
and both names stand in every line of it. It takes an account of type operator that administers every zone: who may
read the figures of the machine, as a program that watches it, reaches no person by that.
"""

import msgspec

from gateway.access.keys import with_rights_of
from gateway.access.rights import Action, Caller
from gateway.access.rights_over_accounts import PLATFORM_TYPES
from gateway.errors import Reason, Refusal
from store.access.accounts import KeyRow


def require_may(caller: Caller) -> None:
    """Raises Refusal 403 for who may not act on behalf of anybody."""
    if caller.type in PLATFORM_TYPES and caller.whole_zones(Action.ADMINISTER) is None:
        return
    text = "This takes an account of type operator with the right `administer` in every zone."
    reason = Reason("A-BEHALF", text, path="On-Behalf-Of", remedy="Leave the header out, and act for yourself.")
    raise Refusal(403, "not-for-others", "This account acts on behalf of nobody.", (reason,))


def acting_for(caller: Caller, named: KeyRow | None) -> Caller:
    """The caller as he acts on behalf of an account: with its rights and its type, under his own name. Raises Refusal
    403 where there is none that may come in, or where it is an operator's."""
    if named is None or not named.may_come_in or named.type in PLATFORM_TYPES or named.account_id == caller.account_id:
        title = "There is no account of this code on whose behalf anybody acts."
        raise Refusal(403, "no-such-behalf", title)
    acting = msgspec.structs.replace(caller, behalf_id=named.account_id, senders=(), kind_rules=(), agreements={})
    return with_rights_of(acting, named)
