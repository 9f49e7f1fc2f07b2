"""What the desk refuses is kept with its problems, each account its own, and never at the cost of the answer."""

import msgspec
import pytest

from gateway.access.rights import Caller
from gateway.campaigns.alert_desk import AlertDesk
from gateway.campaigns.refused import RefusedDocuments, reasons_of
from gateway.errors import Reason, Refusal
from store.campaigns.refused_documents import RefusedQuota
from store.engine.database import Database
from tests.gateway.campaigns.test_threads import SENDER, Centre, document

KEEPING = RefusedQuota(200, 20_000_000)


class Office(Centre):
    """A dispatch centre whose desk keeps what it refuses."""

    refused: RefusedDocuments

    async def open(self) -> "Office":
        await super().open()
        self.refused = RefusedDocuments(self.database, KEEPING, 90)
        self.desk = AlertDesk(self.database, self.planning(), lambda: True, lambda: None, refused=self.refused)
        return self

    async def refuse(self, body: bytes) -> Refusal:
        with pytest.raises(Refusal) as caught:
            await self.desk.submit(self.caller, body)
        return caught.value

    async def written(self) -> None:
        while await self.refused.run():
            pass


@pytest.fixture
async def office(database: Database) -> Office:
    return await Office(database).open()


async def test_each_verdict_on_a_document_is_kept_with_its_reasons_and_can_be_read_again(office: Office) -> None:
    good = document("one", "Nieuws")
    await office.desk.submit(office.caller, good)
    bad = {
        "rules": good.replace(b"<severity>Severe", b"<severity>Bad").replace(b">one<", b">two<"),
        "sender": good.replace(SENDER.encode(), b"stranger@x.example"),
        "taken": good.replace(b"Nieuws", b"Anders"),
        "kind": document("three", "Nieuws").replace(b"tocsin:kind", b"other:kind"),
        "nobody": document("four", "Nieuws", zone="9999"),
        "xml": b"<alert",
    }
    refusals = {name: await office.refuse(body) for name, body in bad.items()}

    await office.written()
    kept = {k.sha256: k for k in await office.refused.latest(office.caller, "", "", 50)}

    assert len(kept) == len(bad)
    for each in kept.values():
        body = await office.refused.document(office.caller, each.public_id)
        (name,) = [name for name, document_ in bad.items() if document_ == body]
        refusal = refusals[name]
        assert (each.status, each.code) == (refusal.status, refusal.code)
        assert reasons_of(each) == refusal.reasons
    assert {each.status for each in kept.values()} == {400, 403, 409, 422}
    names = {(each.sender, each.identifier) for each in kept.values()}
    assert {(SENDER, "two"), ("stranger@x.example", "one"), ("", "")} <= names


async def test_what_is_taken_and_what_says_nothing_of_the_document_is_not_kept(office: Office) -> None:
    await office.desk.submit(office.caller, document("one", "Nieuws"))
    for status in (401, 408, 413, 415, 429, 500, 503):
        office.refused.note(office.caller, b"<x/>", Refusal(status, "x", "X."))

    await office.written()

    assert await office.refused.latest(office.caller, "", "", 50) == []


async def test_no_account_sees_what_another_sent(office: Office) -> None:
    await office.refuse(b"<alert")
    await office.written()
    (kept,) = await office.refused.latest(office.caller, "", "", 50)
    other = msgspec.structs.replace(office.caller, account_id=office.caller.account_id + 1)

    assert await office.refused.latest(other, "", "", 50) == []
    for asked in (office.refused.read, office.refused.document):
        with pytest.raises(Refusal) as refused:
            await asked(other, kept.public_id)
        assert (refused.value.status, refused.value.code) == (404, "no-such-document")
    with pytest.raises(Refusal):
        await office.refused.latest(other, "", kept.public_id, 50)


async def test_a_flood_is_passed_over_and_counted_and_leaves_room_for_others(office: Office) -> None:
    refusal = Refusal(422, "invalid-cap", "No.", (Reason("XSD", "x"),))
    other = await another(office)
    for n in range(100):
        office.refused.note(office.caller, b"<a n='%d'/>" % n, refusal)
    office.refused.note(other, b"<mine/>", refusal)

    await office.written()

    mine = await office.refused.latest(office.caller, "", "", 200)
    assert len(mine) + office.refused.passed_over == 100
    assert 0 < len(mine) < 100
    assert len(await office.refused.latest(other, "", "", 50)) == 1


async def test_large_documents_wait_in_bounded_memory(office: Office) -> None:
    refusal = Refusal(422, "invalid-cap", "No.")
    for n in range(10):
        office.refused.note(office.caller, b"%d" % n * 1_000_000, refusal)

    assert office.refused.passed_over == 2
    await office.written()
    assert len(await office.refused.latest(office.caller, "", "", 50)) == 8


async def test_where_nothing_is_to_be_kept_nothing_is(office: Office) -> None:
    none = RefusedDocuments(office.database, RefusedQuota(0, 1), 90)
    none.note(office.caller, b"<a/>", Refusal(422, "invalid-cap", "No."))

    await none.run()

    assert await none.latest(office.caller, "", "", 50) == []


async def test_a_text_that_a_store_cannot_hold_is_kept_all_the_same(office: Office) -> None:
    office.refused.note(office.caller, b"\0<a/>", Refusal(422, "x", "A \0.", (Reason("XML-WF", "\0", value="\0"),)))

    await office.written()

    (kept,) = await office.refused.latest(office.caller, "", "", 50)
    assert reasons_of(kept)[0].value == "\ufffd"
    assert await office.refused.document(office.caller, kept.public_id) == b"\0<a/>"


async def another(office: Office) -> Caller:
    account_id = await office.house.account("another", ("submit", "5301"))
    return msgspec.structs.replace(office.caller, account_id=account_id)
