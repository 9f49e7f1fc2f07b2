"""Campaigns over HTTP: lists and pages, the account, launching and stopping, and nobody else's business."""

import json

import msgspec
import pytest
import sqlalchemy as sa

from channels.contract import Channel
from gateway.reports.reading import parsed
from gateway.reports.sealing import seal_due
from store.access import accounts
from store.access.accounts import AccountRecord, KeyRecord, RightRow
from store.campaigns import campaign_steps
from store.states import DeliveryEvent
from store.tables import network
from tests.gateway.http.doorway import Doorway
from tests.gateway.populated_store import SECRET

JSON = {"Content-Type": "application/json"}
KEYED = JSON | {"Idempotency-Key": "k1"}
MESSAGE = {
    "zone": "A",
    "kind": "news",
    "title": "Meeting",
    "texts": [{"language": "nl", "email": "Vergadering"}],
    "targets": {"networks": ["plp-1"]},
    "channels": ["email"],
    "terms_confirmed": True,
}


async def a_campaign(door: Doorway, zone: str, name: str, n: int = 3, account: int = 1, **changes: object) -> int:
    people = await door.house.people(zone, n)
    audience = door.house.audience({Channel.SMS: people})
    [number] = await door.house.launch(account, door.house.campaign(zone, account, audience, name, **changes))
    await door.house.expand(number, audience)
    return number


async def every_page(door: Doorway, path: str, key: str, what: str) -> list[list[dict[str, object]]]:
    pages = []
    link: str | None = path
    while link is not None:
        said = (await door.get(link, key)).json
        pages.append(said[what])
        link = said.get("next")
    return pages


# ---- reading ---------------------------------------------------------------------------------------------


async def test_a_zone_lists_its_own_campaigns_newest_first_in_pages(door: Doorway):
    for n in range(5):
        await a_campaign(door, "A", f"a{n}", 1)
        await a_campaign(door, "B", f"b{n}", 1)

    mine = await every_page(door, "/api/v1/campaigns?limit=2", "a", "campaigns")
    everything = await every_page(door, "/api/v1/campaigns?limit=200", "all", "campaigns")

    assert [c["id"] for page in mine for c in page] == ["a4", "a3", "a2", "a1", "a0"]
    assert [len(page) for page in mine] == [2, 2, 1]
    assert len(everything[0]) == 10


async def test_a_page_cannot_begin_at_a_campaign_of_another_zone(door: Doorway):
    await a_campaign(door, "B", "b0", 1)

    assert (await door.get("/api/v1/campaigns?after=b0", "a")).status == 404


async def test_a_campaign_tells_its_state_money_texts_progress_and_links(door: Doorway):
    number = await a_campaign(door, "A", "c1")
    await door.house.settle(number, (0, DeliveryEvent.ACCEPTED), (1, DeliveryEvent.REFUSED))

    said = (await door.get("/api/v1/campaigns/c1", "a")).json

    assert (said["zone"], said["kind"], said["mode"], said["state"]) == ("A", "alert", "live", "running")
    assert (said["reserved_millieuro"], said["reserved_eur"]) == (165, "0.165")
    assert said["created"].endswith("Z")
    [sms] = said["progress"]["channels"]
    assert (sms["queued"], sms["accepted"], sms["failed"], sms["delivered"], sms["total"]) == (1, 1, 1, 0, 3)
    for name in ("progress", "deliveries", "report"):
        assert (await door.ask("HEAD", said["links"][name], "a")).status == 200


async def test_a_cancel_that_looks_for_its_people_says_so_and_what_the_counters_know(door: Doorway):
    number = await a_campaign(door, "A", "c1")
    await door.house.settle(number, (0, DeliveryEvent.ACCEPTED), (1, DeliveryEvent.IN_DOUBT))
    cancel = door.house.campaign("A", 1, door.house.audience({}), "over", state="preparing", replaces=(number,))
    await door.house.launch(1, cancel)

    said, original = [(await door.get(f"/api/v1/campaigns/{name}", "a")).json for name in ("over", "c1")]

    assert (said["state"], said["progress"]["gathering"]) == ("preparing", True)
    assert said["gathering"] == {"may_have_it": 2, "open": 1}
    assert (original["progress"]["gathering"], "gathering" in original) == (False, False)


async def test_nothing_tells_the_numbers_of_the_store(door: Doorway):
    number = await a_campaign(door, "A", "c1")

    for path in ("", "/deliveries", "/report"):
        body = (await door.get(f"/api/v1/campaigns/c1{path}", "a")).body
        assert str(number << 24).encode() not in body
        assert b"member_id" not in body


async def test_deliveries_come_in_pages_and_by_state_channel_and_carrier(door: Doorway):
    number = await a_campaign(door, "A", "c1", 7)
    await door.house.settle(number, (1, DeliveryEvent.ACCEPTED), (3, DeliveryEvent.ACCEPTED), carrier="smpp-1")
    await door.house.settle(number, (4, DeliveryEvent.ACCEPTED), carrier="smpp-2")
    await door.house.settle(number, (3, DeliveryEvent.RECEIPT_DELIVERED), carrier="smpp-1")
    path = "/api/v1/campaigns/c1/deliveries"

    pages = await every_page(door, f"{path}?limit=3", "a", "deliveries")
    accepted = await every_page(door, f"{path}?limit=1&state=accepted", "a", "deliveries")
    by_carrier = await every_page(door, f"{path}?carrier=smpp-1", "a", "deliveries")

    assert [d["id"] for page in pages for d in page] == [1, 2, 3, 4, 5, 6, 7]
    assert [d["id"] for page in accepted for d in page] == [2, 5]
    assert [(d["id"], d["state"]) for page in by_carrier for d in page] == [(2, "accepted"), (4, "delivered")]
    assert pages[0][1]["sent"] is not None
    assert pages[0][0]["sent"] is None
    assert (await door.get(f"{path}?channel=voice", "a")).json["deliveries"] == []


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=-1", "limit=1e3", "limit=٣", "after=-1", "after=99999999999999999999",
     "state=sent", "channel=fax", "carrier=" + "x" * 65, "member=1", "limit=1&limit=2"],
)  # fmt: skip
async def test_a_parameter_that_is_not_as_it_should_be_is_400_and_named(door: Doorway, query: str):
    await a_campaign(door, "A", "c1", 1)

    answer = await door.get(f"/api/v1/campaigns/c1/deliveries?{query}", "a")

    assert (answer.status, answer.json["code"]) == (400, "bad-parameter")
    assert answer.json["problems"][0]["path"] == query.partition("=")[0]


async def with_rights(door: Doorway, code: str, *rights: RightRow, type_: str = "coordinator") -> int:
    record = AccountRecord(code, code, type_, "[]", "[]", frozenset(rights), (KeyRecord(code, _sha()),))
    account_id, _ = await door.house.database.write(lambda tx: accounts.put_account(tx, record))
    return account_id


def _sha() -> str:
    from gateway.access.keys import hashed

    return hashed(SECRET)


async def test_a_coordinator_of_one_network_sees_what_they_sent_and_no_other_campaign_of_the_zone(door: Doorway):
    zone_id = door.house.zones["A"]
    values = {"id": 5, "zone_id": zone_id, "code": "plp-1", "name": "PLP 1"}
    await door.house.database.write(lambda tx: tx.run(sa.insert(network).values(values)))
    account = await with_rights(door, "coord", RightRow("read", zone_id, 5), RightRow("launch", zone_id, 5, "news"))
    await a_campaign(door, "A", "others", 1)
    await a_campaign(door, "A", "own", 1, account=account, kind="news")

    listed = (await door.get("/api/v1/campaigns", "coord")).json["campaigns"]
    who = (await door.get("/api/v1/whoami", "coord")).json

    assert [c["id"] for c in listed] == ["own"]
    assert (await door.get("/api/v1/campaigns/own/deliveries", "coord")).status == 200
    for path in ("", "/deliveries", "/report", "/progress"):
        assert (await door.get(f"/api/v1/campaigns/others{path}", "coord")).status == 404
    assert {r["text"] for r in who["rights"]} == {
        "May see campaigns, deliveries and reports of network plp-1 of zone A: any kind, any channel.",
        "May launch messages in network plp-1 of zone A: news, any channel.",
    }


async def test_a_right_to_read_one_kind_shows_that_kind_only(door: Doorway):
    await with_rights(door, "reader", RightRow("read", door.house.zones["A"], None, "news"))
    await a_campaign(door, "A", "urgent", 1)
    await a_campaign(door, "A", "letter", 1, kind="news")

    listed = (await door.get("/api/v1/campaigns", "reader")).json["campaigns"]

    assert [c["id"] for c in listed] == ["letter"]
    assert (await door.get("/api/v1/campaigns/urgent", "reader")).status == 404


async def test_a_page_of_what_one_may_see_goes_on_behind_what_one_may_not(door: Doorway):
    await with_rights(door, "reader", RightRow("read", door.house.zones["A"], None, "news"))
    await a_campaign(door, "A", "first", 1, kind="news")
    for n in range(20):
        await a_campaign(door, "A", f"u{n}", 1)
    await a_campaign(door, "A", "last", 1, kind="news")

    pages = await every_page(door, "/api/v1/campaigns?limit=2", "reader", "campaigns")

    assert [c["id"] for page in pages for c in page] == ["last", "first"]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 6, 7, 8])
async def test_pages_of_any_length_show_every_campaign_once(door: Doorway, limit: int):
    await with_rights(door, "reader", RightRow("read", door.house.zones["A"], None, "news"))
    for n, kind in enumerate(("news", "news", "alert", "news", "news", "alert", "news")):
        await a_campaign(door, "A", f"c{n}", 1, kind=kind)

    pages = await every_page(door, f"/api/v1/campaigns?limit={limit}", "reader", "campaigns")

    assert [c["id"] for page in pages for c in page] == ["c6", "c4", "c3", "c1", "c0"]
    assert all(len(page) <= limit for page in pages)


async def test_an_auditor_sees_what_became_of_each_and_not_whose_telephone_it_is(door: Doorway):
    await with_rights(door, "audit", RightRow("read", None, None), type_="auditor")
    await a_campaign(door, "A", "c1", 1)

    [line] = (await door.get("/api/v1/campaigns/c1/deliveries", "audit")).json["deliveries"]

    assert line["name"] == ""
    assert "…" in line["address"]
    assert line["member"] == "m1"


# ---- the account -----------------------------------------------------------------------------------------


async def test_the_report_is_live_then_sealed_then_kept_with_what_came_later(door: Doorway):
    database = door.house.database
    number = await a_campaign(door, "A", "c1", 2)
    live = parsed((await door.get("/api/v1/campaigns/c1/report", "a")).body)
    await door.house.settle(number, (0, DeliveryEvent.ACCEPTED), (1, DeliveryEvent.ACCEPTED))
    await door.house.settle(number, (0, DeliveryEvent.RECEIPT_DELIVERED), (1, DeliveryEvent.RECEIPT_FAILED))
    await database.write(lambda tx: campaign_steps.stop(tx, number, None))
    await database.write(campaign_steps.close_ended)
    await database.write(campaign_steps.tick)
    await seal_due(database)
    answer = await door.get("/api/v1/campaigns/c1/report", "a")
    sealed = parsed(answer.body)
    await door.house.settle(number, (1, DeliveryEvent.RECEIPT_DELIVERED))
    later = parsed((await door.get("/api/v1/campaigns/c1/report", "a")).body)

    assert (live.campaign.sealed, live.sums_close) == (None, True)
    assert sealed.campaign.sealed is not None
    assert answer.json["money"]["charged_eur"] == "0.110"
    assert sealed.persons.of("reached") == 1
    assert msgspec.structs.replace(later, since_sealing=()) == sealed
    assert {m.counter for m in later.since_sealing} == {"delivered", "failed"}


async def test_the_report_is_a_table_for_who_asks_for_one(door: Doorway):
    await a_campaign(door, "A", "c1", 2)

    answer = await door.get("/api/v1/campaigns/c1/report?format=csv", "a")

    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.body.decode().splitlines()[0] == "section,channel,name,reason,count,meaning"
    assert (await door.get("/api/v1/campaigns/c1/report?format=xml", "a")).status == 400


# ---- deciding --------------------------------------------------------------------------------------------


async def test_a_message_is_202_with_its_location_and_the_same_key_again_200(door: Doorway):
    body = json.dumps(MESSAGE)

    first = await door.post("/api/v1/campaigns", "a", data=body, headers=KEYED)
    again = await door.post("/api/v1/campaigns", "a", data=body, headers=JSON | {"Idempotency-Key": '"k1"'})

    assert (first.status, again.status) == (202, 200)
    assert first.headers["Location"] == again.headers["Location"] == "/api/v1/campaigns/c9"
    assert door.desk.requests[0].title == "Meeting"
    assert door.desk.requests[0].channels == (Channel.EMAIL,)


@pytest.mark.parametrize("key", [None, "", '""', "two words", '"open', "x" * 101, "naïve"])
async def test_a_message_without_a_key_of_its_own_is_refused_and_told_what_a_key_is(door: Doorway, key: str | None):
    headers = JSON if key is None else JSON | {"Idempotency-Key": key}

    answer = await door.post("/api/v1/campaigns", "a", data=json.dumps(MESSAGE), headers=headers)

    assert answer.status == 400
    assert answer.json["code"] == ("no-idempotency-key" if key is None else "bad-idempotency-key")
    assert answer.json["problems"][0]["path"] == "Idempotency-Key"
    assert door.desk.requests == []


async def test_a_dry_run_is_a_preview_and_sends_nothing(door: Doorway):
    answer = await door.post("/api/v1/campaigns?dry_run=1", "a", data=json.dumps(MESSAGE), headers=JSON)

    assert answer.status == 200
    assert (answer.json["zone"], answer.json["price_eur"]) == ("A", "0.055")
    assert (len(door.desk.previews), door.desk.requests) == (1, [])


@pytest.mark.parametrize("query", ["dryrun=1", "dry_run=yes", "dry_run=", "Dry_Run=1"])
async def test_a_misspelt_dry_run_never_sends(door: Doorway, query: str):
    answer = await door.post(f"/api/v1/campaigns?{query}", "a", data=json.dumps(MESSAGE), headers=JSON)

    assert answer.status == 400
    assert door.desk.requests == []


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"kind": "advert"}, "$.kind"),
        ({"channels": ["fax"]}, "$.channels[0]"),
        ({"texts": []}, "$.texts"),
        ({"texts": [{"language": "NL"}]}, "$.texts[0].language"),
        ({"chanels": ["sms"]}, "$"),
        ({"simulation": "no"}, "$.simulation"),
    ],
    ids=str,
)
async def test_a_request_that_is_not_as_it_should_be_names_the_path(door: Doorway, change: dict, path: str):  # type: ignore[type-arg]
    answer = await door.post("/api/v1/campaigns", "a", data=json.dumps(MESSAGE | change), headers=JSON)

    assert (answer.status, answer.json["code"]) == (400, "invalid-request")
    assert answer.json["problems"][0]["path"] == path
    assert door.desk.requests == []


async def test_every_fault_is_told_at_once_with_its_pointer_the_choices_and_the_remedy(door: Doorway):
    wrong = {**MESSAGE, "kind": "newsletter", "chanels": ["sms"], "channels": ["fax", "sms", "pigeon"]}
    del wrong["zone"]

    english = await door.post("/api/v1/campaigns", "a", data=json.dumps(wrong), headers=JSON)
    dutch = await door.post("/api/v1/campaigns", "a", data=json.dumps(wrong), headers=JSON | {"Accept-Language": "nl"})

    told = {p["pointer"]: (p["text"], p["remedy"]) for p in english.json["problems"]}
    assert set(told) == {"/kind", "/chanels", "/channels/0", "/channels/2", "/zone"}
    assert told["/kind"] == (
        "one of alert, preventive, news, info is wanted, and `newsletter` is none of them",
        "Write one of alert, preventive, news, info.",
    )
    assert told["/zone"] == ("the key `zone` is missing", "Add `zone`.")
    assert told["/chanels"][0] == "there is no key `chanels` here: is `channels` meant?"
    assert "sms, email, voice" in told["/channels/2"][1]
    in_dutch = {p["pointer"]: (p["text"], p["remedy"]) for p in dutch.json["problems"]}
    assert in_dutch["/kind"] == (
        "`newsletter` is geen van: alert, preventive, news, info.", "Schrijf een van alert, preventive, news, info."
    )  # fmt: skip
    assert set(in_dutch) == set(told)


async def test_a_message_that_is_not_json_is_415(door: Doorway):
    answer = await door.post("/api/v1/campaigns", "a", data=json.dumps(MESSAGE), headers={"Content-Type": "text/plain"})

    assert answer.status == 415


async def test_a_campaign_is_stopped_once(door: Doorway):
    await a_campaign(door, "A", "c1")

    first = await door.post("/api/v1/campaigns/c1/stop", "a")
    again = await door.post("/api/v1/campaigns/c1/stop", "a")
    told = await door.get("/api/v1/campaigns/c1", "a")

    assert (first.status, first.json["stopped"]) == (200, True)
    assert (again.status, again.json["stopped"]) == (200, False)
    assert told.json["state"] == "stopped"
