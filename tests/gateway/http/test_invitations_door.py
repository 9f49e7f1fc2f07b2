"""Invitations over the API: their states, one more, one taken back; and what a token is worth."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa

from channels.contract import Channel
from gateway.access.inviting import InvitationLetter
from store.access import invitations
from store.access.invitations import Invitation
from store.engine.database import Database
from store.engine.transaction import Transaction
from store.states import DeliveryEvent
from store.tables import invitation
from tests.gateway.http.doorway import Doorway, doorway

INVITATIONS = "/api/v1/invitations"


class Notices:
    """Tells nobody: keeps what it was given, and answers the campaign that a test names."""

    def __init__(self) -> None:
        self.letters: list[InvitationLetter] = []
        self.campaign_id: int | None = None
        self.fails = False

    async def tell(self, _tx: Transaction, letter: InvitationLetter) -> int | None:
        if self.fails:
            raise RuntimeError("no notice can be written")
        self.letters.append(letter)
        return self.campaign_id


@pytest.fixture
def notices() -> Notices:
    return Notices()


@pytest.fixture
async def door(database: Database, notices: Notices) -> AsyncIterator[Doorway]:
    async with doorway(database, tell=notices.tell) as opened:
        yield opened


async def invite(door: Doorway, code: str = "jo") -> str:
    wish = {"code": code, "name": code.title(), "type": "officer", "email": f"{code}@example.org",
            "rights": [{"action": "read", "zone": "A"}]}  # fmt: skip
    made = await door.post("/api/v1/accounts", "a", json=wish)
    assert made.status == 201, made.body
    return f"{INVITATIONS}/{made.json['invitation']}"


async def opened(door: Doorway, token: str) -> Invitation | None:
    return await door.house.database.write(lambda tx: invitations.open(tx, invitations.hashed_token(token)))


async def accepted(door: Doorway, token: str) -> bool:
    found = await opened(door, token)
    return found is not None and await door.house.database.write(lambda tx: invitations.accept(tx, found.id))


async def state(door: Doorway, path: str) -> Any:
    return (await door.get(path, "a")).json["state"]


async def test_an_invitation_is_good_once(door: Doorway, notices: Notices):
    path = await invite(door)
    token = notices.letters[-1].token

    states = [await state(door, path)]
    first = await opened(door, token)
    states.append(await state(door, path))
    took, again = await accepted(door, token), await accepted(door, token)
    states.append(await state(door, path))

    assert first is not None
    assert (took, again, states) == (True, False, ["made", "opened", "accepted"])
    assert (await door.get("/api/v1/accounts/jo", "a")).json["state"] == "active"
    assert await opened(door, token) is None


async def test_of_two_who_accept_at_once_one_does(door: Doorway, notices: Notices):
    await invite(door)
    found = await opened(door, notices.letters[-1].token)
    assert found is not None

    took = [await door.house.database.write(lambda tx: invitations.accept(tx, found.id)) for _ in range(2)]

    assert took == [True, False]


async def test_a_new_link_makes_the_one_before_worthless(door: Doorway, notices: Notices):
    path = await invite(door)
    again = await door.post("/api/v1/accounts/jo/invite", "a")
    old, new = (letter.token for letter in notices.letters)

    assert (again.status, again.json["state"], await state(door, path)) == (201, "made", "withdrawn")
    assert await opened(door, old) is None
    assert await accepted(door, new)
    assert (await door.post("/api/v1/accounts/jo/invite", "a")).json["code"] == "nobody-to-invite"


async def test_what_was_taken_back_is_worth_nothing(door: Doorway, notices: Notices):
    path = await invite(door)

    withdrawn = [await door.post(f"{path}/withdraw", "a") for _ in range(2)]

    assert [(answer.status, answer.json["state"]) for answer in withdrawn] == [(200, "withdrawn")] * 2
    assert await opened(door, notices.letters[-1].token) is None


async def test_what_was_used_is_not_taken_back(door: Doorway, notices: Notices):
    path = await invite(door)
    await accepted(door, notices.letters[-1].token)

    assert (await door.post(f"{path}/withdraw", "a")).json["code"] == "invitation-over"


async def test_after_seven_days_it_is_over(door: Doorway, notices: Notices):
    path = await invite(door)
    [letter] = notices.letters
    week = sa.update(invitation).values(ends_ms=invitation.c.ends_ms - invitations.LIFE_MS)
    made_ms = letter.ends_ms - invitations.LIFE_MS
    await door.house.database.write(lambda tx: tx.run(week))

    assert invitations.LIFE_MS == 7 * 86_400_000
    assert abs(made_ms - door.house.database.clock.now_ms()) < 60_000
    assert await state(door, path) == "expired"
    assert await opened(door, letter.token) is None
    assert (await door.post(f"{path}/withdraw", "a")).json["code"] == "invitation-over"
    assert (await door.post("/api/v1/accounts/jo/invite", "a")).status == 201


@pytest.mark.parametrize("step", ["disable", "end"])
async def test_of_an_account_that_is_disabled_or_ended_no_invitation_is_good(
    door: Doorway, notices: Notices, step: str
):
    await invite(door)
    await door.post(f"/api/v1/accounts/jo/{step}", "a", json={})

    assert await opened(door, notices.letters[-1].token) is None


async def test_the_token_is_kept_nowhere(door: Doorway, notices: Notices, database: Database):
    await invite(door)
    [letter] = notices.letters

    async with database.read() as conn:
        dump = await conn.run_sync(_everything)

    assert letter.code in dump
    assert letter.token not in dump


def _everything(connection: sa.Connection) -> str:
    tables = sa.inspect(connection).get_table_names()
    return "".join(str(row) for name in tables for row in connection.execute(sa.text(f'SELECT * FROM "{name}"')).all())


@pytest.mark.parametrize(
    ("events", "shown"),
    [
        ([], "made"),
        ([DeliveryEvent.ACCEPTED], "sent"),
        ([DeliveryEvent.ACCEPTED, DeliveryEvent.RECEIPT_DELIVERED], "delivered"),
        ([DeliveryEvent.ACCEPTED, DeliveryEvent.RECEIPT_FAILED], "bounced"),
    ],
)
async def test_what_became_of_its_notice_is_its_state(
    door: Doorway, notices: Notices, events: list[DeliveryEvent], shown: str
):
    people = await door.house.people("A", 1)
    audience = door.house.audience({Channel.EMAIL: people})
    [notices.campaign_id] = await door.house.launch(1, door.house.campaign("A", 1, audience, "notice"))
    await door.house.expand(notices.campaign_id, audience)
    for event in events:
        await door.house.settle(notices.campaign_id, (0, event))

    assert await state(door, await invite(door)) == shown


async def test_who_cannot_be_told_is_not_invited(door: Doorway, notices: Notices):
    notices.fails = True
    wish = {"code": "jo", "name": "Jo", "type": "officer", "email": "jo@example.org"}

    assert (await door.post("/api/v1/accounts", "a", json=wish)).status == 500
    assert (await door.get("/api/v1/accounts/jo", "a")).status == 404


async def test_invitations_are_listed_for_who_sees_their_accounts(door: Doorway):
    await invite(door)
    for _ in range(3):
        await door.post("/api/v1/accounts/jo/invite", "a")
    await invite(door, "mi")

    page = (await door.get(f"{INVITATIONS}?account=jo&limit=3", "a")).json
    rest = (await door.get(page["next"], "a")).json

    assert [one["state"] for one in page["invitations"] + rest["invitations"]] == ["made", *["withdrawn"] * 3]
    assert {one["account"] for one in (await door.get(INVITATIONS, "a")).json["invitations"]} == {"jo", "mi"}
    assert (await door.get(INVITATIONS, "b")).json["invitations"] == []
    assert (await door.get(f"{INVITATIONS}?after=nothing", "a")).status == 404


async def test_to_another_zones_administrator_an_invitation_does_not_exist(door: Doorway, notices: Notices):
    path = await invite(door)

    assert [(await door.get(path, "b")).status, (await door.post(f"{path}/withdraw", "b")).status] == [404, 404]
    assert await opened(door, notices.letters[-1].token) is not None
