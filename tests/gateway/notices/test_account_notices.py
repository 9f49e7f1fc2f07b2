"""What people hear of accounts: in their own words and language, and what they might stop is never held back."""

import msgspec
import sqlalchemy as sa

from gateway.access.approval_desk import ApprovalDesk
from gateway.access.dangerous import ChangeToAccount, MakeKey, SetRights
from gateway.access.granting import GRANTING
from gateway.access.keys import as_caller
from gateway.access.rights import Caller, Right, SessionFacts
from gateway.notices.account_notices import AccountNotices
from gateway.notices.telling import LIMITS
from gateway.texts.content import read_content
from store.access import accounts
from store.engine.database import Database
from store.tables import account, campaign_text
from tests.gateway.populated_store import House

BASE = "https://alerts.example.be"
SESSION = SessionFacts(
    number=1, id="s", factors=("passkey",), factor_ms=0, ends_ms=1, locks_ms=1, enrol_only=False, locked=False
)


class Town:
    """Zone B with one administrator, `berta`; an operator, `op`, who reads German; each with a mailbox of their own."""

    def __init__(self, database: Database) -> None:
        self.house = House(database)
        self.notices = AccountNotices(BASE, lambda language, zone: (f"Helpdesk of {zone or 'all'}",))
        self.desk = ApprovalDesk(database, GRANTING, (self.notices.approval,))

    async def put(
        self, code: str, *rights: tuple[str, str | None], type_: str = "officer", language: str = "en"
    ) -> int:
        account_id = await self.house.account(code, *rights, type_=type_)
        mailbox = {"email": f"{code}@example.org", "language": language}
        await self.house.database.write(
            lambda tx: tx.conn.execute(sa.update(account).where(account.c.id == account_id).values(**mailbox))
        )
        return account_id

    async def caller(self, code: str) -> Caller:
        async with self.house.database.read() as conn:
            row = await accounts.find_key(conn, code)
        assert row is not None
        return msgspec.structs.replace(as_caller(row), via="http", session=SESSION)

    async def ask(self, code: str, *changes: ChangeToAccount) -> None:
        who = await self.caller(code)
        await self.house.database.write(lambda tx: self.desk.gate(tx, who, changes))

    def launches(self, code: str) -> SetRights:
        return SetRights(code, (Right("launch", self.house.zones["B"], None, "*", "*"),))

    async def mails(self, language: str) -> list[str]:
        async with self.house.database.read() as conn:
            by = sa.select(campaign_text.c.content).where(campaign_text.c.language == language)
            rows = await conn.execute(by.order_by(campaign_text.c.campaign_id))
            return [str(read_content(content)) for (content,) in rows.all()]


async def town_of(database: Database) -> Town:
    town = Town(database)
    await town.house.zone("B")
    await town.put("berta", ("administer", "B"), ("read", "B"), ("launch", "B"), type_="administrator")
    await town.put("op", ("administer", None), type_="operator", language="de")
    return town


async def test_what_is_granted_alone_says_what_for_whom_where_and_until_when_it_can_be_stopped(database: Database):
    town = await town_of(database)
    await town.put("officer", ("read", "B"))

    await town.ask("berta", town.launches("officer"))

    [mail] = await town.mails("de")
    assert '"berta" gewährt dies allein in der Zone B: andere Rechte für' in mail
    assert "officer" in mail
    assert "wenn es vorher niemand zurückzieht" in mail
    assert "Helpdesk of B" in mail


async def test_what_is_granted_alone_is_told_also_to_who_has_heard_too_much(database: Database):
    """No flood of others hides it: silence is taken for consent."""
    town = await town_of(database)
    op = (await town.caller("op")).account_id
    for _ in range(LIMITS.per_hour + 1):
        await database.write(lambda tx: town.notices.factor(tx, op, "password-changed"))
    await town.put("officer", ("read", "B"))

    await town.ask("berta", town.launches("officer"))

    mails = await town.mails("de")
    assert len(mails) == LIMITS.per_hour + 1
    assert "gewährt dies allein" in mails[-1]


async def test_of_what_waits_a_second_person_hears_of_which_kind_it_is(database: Database):
    town = await town_of(database)
    await town.put("arno", ("administer", "B"), ("launch", "B"), type_="administrator", language="fr")
    await town.put("officer", ("launch", "B"))

    await town.ask("berta", MakeKey("officer", "c" * 12, "a" * 64))

    [mail] = [mail for mail in await town.mails("fr") if f"{BASE}/sign-in" in mail]
    assert "une clé pour" in mail
    assert "(zone B)" in mail
