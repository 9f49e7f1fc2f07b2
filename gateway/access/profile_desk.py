"""The desk of one's own profile: what a person says of himself, and nothing that decides what he may do."""

from dataclasses import dataclass

import msgspec

from channels.contract import Mode
from gateway.access.account_desk import AccountLanguage, GivenNumber, PersonName, mobile_faults
from gateway.access.addresses import normal_mobile
from gateway.access.rights import Caller, require_mode
from gateway.errors import Refusal
from store.access import managing
from store.access.managing import ManagedAccount
from store.engine.database import Database
from store.engine.transaction import Transaction


class ProfileChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A merge patch of one's own profile (RFC 7396). The mail address is an administrator's to change: by it one comes
    in."""

    name: PersonName | msgspec.UnsetType = msgspec.UNSET
    mobile: GivenNumber | msgspec.UnsetType | None = msgspec.UNSET
    """null: none any more."""
    language: AccountLanguage | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True, slots=True)
class ProfileDesk:
    database: Database

    async def read(self, caller: Caller) -> ManagedAccount:
        async with self.database.read() as conn:
            found = await managing.of_id(conn, caller.account_id)
        assert found is not None, "accounts are kept for ever"
        return found

    async def change(self, caller: Caller, seen: ManagedAccount, wish: ProfileChange) -> ManagedAccount | None:
        """None where it is no longer as it was seen. Raises Refusal: 403 for a test key, 422."""
        require_mode(caller, Mode.LIVE)
        values = _values(wish)

        async def work(tx: Transaction) -> ManagedAccount | None:
            if not await managing.change(tx, seen, values, caller.actor, caller.code):
                return None
            return await managing.of_id(tx.conn, seen.id)

        return await self.database.write(work)


def _values(wish: ProfileChange) -> dict[str, str]:
    given = {
        name: value or ""
        for name in ("name", "mobile", "language")
        if not isinstance(value := getattr(wish, name), msgspec.UnsetType)
    }
    faults = tuple(mobile_faults(given.get("mobile", "")))
    if faults:
        raise Refusal(422, "account-unsound", "The account cannot be like this.", faults)
    if given.get("mobile"):
        given["mobile"] = normal_mobile(given["mobile"])
    return given
