"""Who needs more than a password, and what is more. Pure."""

from collections.abc import Collection

from store.access.factors import FactorOverview, Person

PASSKEY, PASSWORD, TOTP, RECOVERY, INVITATION = "passkey", "password", "totp", "recovery", "invitation"
BREAK_GLASS = "break-glass"
"""A paper code: it opens what its account may do, and is no factor of a person."""
_STRONG = frozenset({PASSKEY, TOTP, RECOVERY, BREAK_GLASS})
_HARMLESS = frozenset({"read"})
"""Actions by which nobody is reached, nothing decided and nobody looked up."""


def needs_second(actions: Collection[str]) -> bool:
    """Whether somebody with rights to these may do more than look."""
    return not _HARMLESS.issuperset(actions)


def is_enough(factors: Collection[str], actions: Collection[str]) -> bool:
    """Whether what was shown lets somebody with rights to these do what they are for."""
    return bool(_STRONG.intersection(factors)) or (PASSWORD in factors and not needs_second(actions))


def has_ways_in(*, passkeys: int, password: bool, totp: bool, actions: Collection[str]) -> bool:
    """Whether somebody who can show these signs in to more than setting up factors."""
    return passkeys > 0 or (password and (totp or not needs_second(actions)))


def is_set_up(person: Person) -> bool:
    """Whether there is anything that an invitation must not walk around."""
    return bool(person.passkeys or person.totp_sealed or person.password_hash)


def ways_without(found: FactorOverview, actions: Collection[str], *, passkey: str = "", totp: bool = False) -> bool:
    """Whether a way in is left when this passkey, or the TOTP secret, is taken away."""
    return has_ways_in(
        passkeys=sum(one.public_id != passkey for one in found.passkeys),
        password=found.password_set_ms is not None,
        totp=found.totp_set_ms is not None and not totp,
        actions=actions,
    )
