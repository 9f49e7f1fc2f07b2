"""Who did what, over HTTP; and what is read of people is written down before it is answered."""

import asyncio

import sqlalchemy as sa

from store import audit
from store.audit_line import Actor
from store.audit_reading import AuditLine, WantedLines, latest
from store.engine.turns import Turn
from store.outbox import holds
from store.tables import audit as lines
from store.tables import audit_reading
from tests.gateway.http.doorway import Doorway
from tests.gateway.http.test_routes import a_campaign
from tests.gateway.populated_store import bearer


async def written(door: Doorway, action: str = "") -> list[AuditLine]:
    async with door.house.database.read() as conn:
        return await latest(conn, 1_000, WantedLines(action=action))


async def auditors(door: Doorway) -> None:
    """`head` audits every zone, `auditor` zone A."""
    await door.house.account("head", ("audit", None), type_="auditor")
    await door.house.account("auditor", ("audit", "A"), type_="auditor")


async def asked(door: Doorway, query: str = "", key: str = "head") -> list[dict[str, object]]:
    answer = await door.get(f"/api/v1/audit{query}", key)
    assert answer.status == 200, answer.body
    found: list[dict[str, object]] = answer.json["lines"]
    return found


# ---- readings are lines ------------------------------------------------------------------------------------------


async def test_a_walk_through_deliveries_is_one_line_that_says_who_from_where(door: Doorway):
    number = await a_campaign(door, "A", "camp1")
    pages = [await door.get(f"/api/v1/campaigns/camp1/deliveries?limit=1&after={n}", "a") for n in range(3)]
    await door.get("/api/v1/campaigns/camp1/deliveries", "all")

    read = await written(door, "deliveries-read")

    assert {page.status for page in pages} == {200}
    assert [line.account for line in read] == ["all", "a"]
    assert {(line.subject, line.named, line.zone, line.via) for line in read} == {
        (f"campaign {number}", "camp1", "A", "http")
    }
    assert {str(line.apart) for line in read} == {"{'address': '127.0.0.1'}"}
    assert read[0].detail == {"masked": False}


async def test_a_campaign_that_somebody_may_not_see_is_no_reading(door: Doorway):
    await a_campaign(door, "A", "camp1")

    assert (await door.get("/api/v1/campaigns/camp1/deliveries", "b")).status == 404
    assert (await door.get("/api/v1/campaigns/camp1/report", "b")).status == 404
    assert (await door.get("/cap/v1/refused/nothing", "a")).status == 404

    assert [line for line in await written(door) if line.action.endswith(("-read", "-export"))] == []


async def test_reports_and_refused_documents_are_lines_too(door: Doorway):
    await a_campaign(door, "A", "camp1")
    for path in ("/api/v1/campaigns/camp1/report", "/api/v1/campaigns/camp1/report?format=csv", "/cap/v1/refused"):
        assert (await door.get(path, "a")).status == 200

    told = [(line.action, line.about, line.detail) for line in await written(door) if line.via == "http"]

    assert told == [
        ("refused-read", "refused", {}),
        ("report-export", "campaign camp1", {"format": "csv"}),
        ("report-export", "campaign camp1", {"format": "json"}),
    ]


async def test_nothing_is_shown_before_its_line_is_durable_and_a_line_stays_when_the_client_leaves(door: Doorway):
    await a_campaign(door, "A", "camp1")
    held, go_on = asyncio.Event(), asyncio.Event()

    async def hold_the_writer(tx: object) -> None:
        held.set()
        await go_on.wait()

    blocking = asyncio.create_task(door.house.database.write(hold_the_writer))
    await held.wait()
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    head = (
        f"GET /api/v1/campaigns/camp1/deliveries HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer('a')['Authorization']}"
    )
    writer.write(f"{head}\r\n\r\n".encode())
    while not door.house.database._jobs[Turn.USUAL]:
        assert (await door.get("/healthz")).status == 200
    answered = asyncio.create_task(reader.read(1))
    await asyncio.sleep(0)
    shown_before = answered.done()
    answered.cancel()
    writer.close()
    await writer.wait_closed()
    go_on.set()
    await blocking
    await door.house.database.write(_nothing, turn=Turn.LAST)  # behind what the lost client asked for

    assert not shown_before
    assert [line.account for line in await written(door, "deliveries-read")] == ["a"]


async def _nothing(tx: object) -> None:
    """A place in the queue."""


async def test_where_no_line_can_be_written_nothing_is_read(door: Doorway):
    await a_campaign(door, "A", "camp1")
    await door.house.database.write(lambda tx: tx.run(sa.text("DROP TABLE audit_reading")))

    assert (await door.get("/api/v1/campaigns/camp1/deliveries", "a")).status >= 500

    await door.house.database.write(lambda tx: tx.conn.run_sync(audit_reading.create))
    assert (await door.get("/api/v1/campaigns/camp1/deliveries", "a")).status == 200


# ---- reading them ------------------------------------------------------------------------------------------------


async def test_the_audit_tells_who_did_what_from_where_and_to_what(door: Doorway):
    await auditors(door)
    await a_campaign(door, "A", "camp1")
    await door.post("/api/v1/campaigns/camp1/stop", "a")
    zone = str(door.house.zones["A"])
    await door.house.database.write(lambda tx: holds.place(tx, "zone", zone, "a storm", "ada"))
    await door.house.database.write(audit.link)

    stop, hold = (await asked(door, "?action=stop"))[0], (await asked(door, "?action=hold"))[0]

    assert (stop["account"], stop["via"], stop["zone"], stop["subject"]) == ("a", "http", "A", "camp1")
    assert (stop["apart"], stop["apart_is"], stop["on_behalf_of"]) == ({"address": "127.0.0.1"}, "shown", None)
    assert (hold["account"], hold["via"], hold["subject"]) == (None, "cli", "zone A")
    assert hold["apart"] == {"by": "ada", "reason": "a storm"}
    async with door.house.database.read() as conn:
        head = (await audit.verify(conn)).head
    assert (hold["number"], hold["hash"]) == (head.number, head.hash)


async def test_a_hold_that_is_placed_changed_and_lifted_over_http_is_three_lines_of_its_zone(door: Doorway):
    await auditors(door)
    placed = await door.post("/api/v1/holds", "a", json={"scope": "zone", "subject": "A", "reason": "storm"})
    href, tag = placed.json["href"], placed.headers["ETag"]
    changed = await door.ask("PATCH", href, "a", data=b'{"reason": "calm"}', headers={
        "If-Match": tag, "Content-Type": "application/merge-patch+json",
    })  # fmt: skip
    lifted = await door.ask("DELETE", href, "a", headers={"If-Match": changed.headers["ETag"]})
    assert (placed.status, changed.status, lifted.status) == (201, 200, 204)

    told = await asked(door, "?subject=zone+A&account=a", "auditor")

    assert [line["action"] for line in told] == ["resume", "hold-change", "hold"]
    assert {(line["account"], line["via"], line["zone"], line["subject"]) for line in told} == {
        ("a", "http", "A", "zone A")
    }
    assert told[2]["apart"] == {"address": "127.0.0.1", "reason": "storm"}
    assert told[1]["apart"] == {
        "address": "127.0.0.1", "before": {"reason": "storm"}, "after": {"reason": "calm"}
    }  # fmt: skip


async def test_filters_narrow_it_and_pages_lead_through_all_of_it_once(door: Doorway):
    await auditors(door)
    await a_campaign(door, "A", "camp1")
    await a_campaign(door, "B", "camp2")
    for code in ("camp1", "camp2"):
        await door.post(f"/api/v1/campaigns/{code}/stop", "all")
    everything = await asked(door, "?limit=1000")

    async def subjects(query: str) -> list[object]:
        return [line["subject"] for line in await asked(door, query) if line["action"] != "audit-read"]

    assert await subjects("?zone=B&action=stop") == ["camp2"]
    assert await subjects("?account=all&action=stop") == ["camp2", "camp1"]
    assert await subjects("?subject=camp1&action=stop") == ["camp1"]
    assert await subjects("?subject=no+such+thing") == await subjects("?account=nobody") == []
    assert await subjects("?until=2001-01-01T00:00:00Z") == []
    assert len(await asked(door, "?since=2001-01-01T00:00:00%2B01:00&action=stop")) == 2
    seen, page = [], "/api/v1/audit?action=rights&limit=2"
    while page:
        answer = await door.get(page, "head")
        seen += answer.json["lines"]
        assert ("Link" in answer.headers) == ("next" in answer.json)
        page = answer.json.get("next", "")
    assert seen == [line for line in everything if line["action"] == "rights"]


async def test_a_day_that_there_is_not_is_told_as_such(door: Doorway):
    await auditors(door)

    answer = await door.get("/api/v1/audit?since=2026-02-30T00:00:00Z", "head")

    [problem] = answer.json["problems"]
    assert (answer.status, problem["path"], problem["text"]) == (400, "since", "there is no `2026-02-30T00:00:00Z`")


async def test_a_zones_auditor_sees_the_lines_of_that_zone_alone(door: Doorway):
    await auditors(door)
    await a_campaign(door, "A", "camp1")
    await a_campaign(door, "B", "camp2")
    await door.house.database.write(lambda tx: audit.note(tx, "key-make", "k1", Actor(login="ada")))

    seen = await asked(door, "?limit=1000", "auditor")

    assert {line["zone"] for line in seen} == {"A"}
    assert "camp1" in {line["subject"] for line in seen}
    assert await asked(door, "?zone=B", "auditor") == await asked(door, "?subject=camp2", "auditor") == []
    assert [line for line in await asked(door, "?action=rights", "auditor") if line["subject"] == "b"] == []


async def test_who_sees_the_machine_sees_acts_and_no_names_and_what_was_erased_is_said_so(door: Doorway):
    await auditors(door)
    await door.house.account("operator", ("operate", None), type_="operator")
    by = Actor(via="cli", login="ada")
    await door.house.database.write(lambda tx: audit.note(tx, "member-find", "member 7", by, apart={"words": "Ada"}))
    await door.house.database.write(lambda tx: audit.note(tx, "member-find", "member 8", by))
    await door.house.database.write(lambda tx: audit.erase_apart(tx, "member 8"))

    masked = await asked(door, "?action=member-find", "operator")
    shown = await asked(door, "?action=member-find")

    assert [(line["apart"], line["apart_is"]) for line in masked] == [
        (None, "erased"), ({"by": "…", "words": "…"}, "masked")
    ]  # fmt: skip
    assert [(line["apart"], line["apart_is"]) for line in shown] == [
        (None, "erased"), ({"by": "ada", "words": "Ada"}, "shown")
    ]  # fmt: skip
    assert (await door.get("/api/v1/audit", "none")).status == 403


async def test_a_member_is_found_by_the_reference_and_told_with_it_to_whoever_may_see_the_people(door: Doorway):
    await auditors(door)
    await door.house.account("operator", ("operate", None), type_="operator")
    [ada] = await door.house.people("A", 1)
    zone_a = door.house.zones["A"]
    await door.house.database.write(lambda tx: audit.note(tx, "member-find", f"member {ada}", zone_id=zone_a))

    for key in ("head", "auditor"):
        found = await asked(door, f"?subject=r{ada}", key)
        assert [(line["subject"], line["reference"]) for line in found] == [(f"member m{ada}", f"r{ada}")]
        assert await asked(door, f"?subject=member+r{ada}&zone=A&action=member-find", key) == found
    # The machine's operator finds nobody by a reference, and reads none.
    assert await asked(door, f"?subject=r{ada}", "operator") == []
    assert [line["reference"] for line in await asked(door, "?action=member-find", "operator")] == [None]
    # What others asked does not keep it.
    questions = [line.apart or {} for line in await written(door, "audit-read") if line.account != "operator"]
    assert {question["subject"] for question in questions} == {f"member m{ada}"}


async def test_reading_the_audit_is_one_line_a_quarter_of_an_hour_and_question(door: Doorway):
    await auditors(door)

    first = await asked(door, "?action=audit-read")
    again = [await asked(door, "?action=audit-read") for _ in range(3)]
    await asked(door, "?action=stop&zone=A", "auditor")

    assert first == []
    assert [len(lines) for lines in again] == [1, 1, 1]
    assert (again[0][0]["account"], again[0][0]["subject"]) == ("head", "audit")
    assert again[0][0]["apart"] == {"address": "127.0.0.1", "action": "audit-read"}
    latest_one = (await written(door, "audit-read"))[0]
    assert (latest_one.account, latest_one.zone) == ("auditor", "A")
    assert latest_one.apart == {"address": "127.0.0.1", "action": "stop", "zone": "A"}


async def test_whoever_asks_something_else_each_time_does_not_fill_the_audit(door: Doorway):
    await auditors(door)
    for n in range(50):
        await asked(door, f"?limit=1&subject=q{n}")

    read = await written(door, "audit-read")

    # Where a quarter of an hour ends in between, each of the two has its questions.
    assert 21 <= len(read) <= 42
    assert {line.account for line in read} == {"head"}
    assert read[-1].apart == {"address": "127.0.0.1", "subject": "q0"}


async def test_a_get_writes_lines_of_readings_and_nothing_else(door: Doorway):
    await auditors(door)
    await a_campaign(door, "A", "camp1")

    async def kept() -> dict[str, int]:
        async with door.house.database.read() as conn:
            tables = (await conn.execute(sa.text("SELECT name FROM sqlite_master WHERE type = 'table'"))).scalars()
            count = sa.text
            return {t: (await conn.execute(count(f"SELECT count(*) FROM {t}"))).scalar_one() for t in tables}

    before = await kept()
    for path in ("/api/v1/audit", "/api/v1/campaigns/camp1/deliveries", "/api/v1/campaigns/camp1/report"):
        await door.get(path, "all")
    changed = {table for table, count in (await kept()).items() if count != before[table]}

    assert changed == {"audit", "audit_detail", "audit_reading"}
    async with door.house.database.read() as conn:
        assert (await conn.execute(sa.select(lines.c.form).distinct())).scalars().all() == [2]
