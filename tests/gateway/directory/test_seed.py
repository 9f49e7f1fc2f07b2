"""A seed file: loaded once it is there, loaded twice nothing moves, unsound it is refused with line and path."""

import functools
import json
import re
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.access.rights import Action
from gateway.directory.agreements import SenderTerms, read_terms
from gateway.directory.seed import SeedRefused, check, load
from gateway.directory.seed_lines import Contact, RightLine, normalise
from gateway.directory.senders import read_kind_rules
from gateway.directory.territory import read_territory
from store.access.accounts import RightRow, find_key
from store.engine.turns import Turn
from store.register.opt_outs import OptOut, add_opt_outs
from store.register.reading import territories, zones
from store.register.writing import ContactRecord, RegisterTally
from store.tables import account, contact, member, membership, network, network_code, opt_out
from store.tables import lot as lots
from tests.cap.certificates import NOW, YEAR, certificate, ec_key

ZONE = {"type": "zone", "code": "5301", "name": "Zone", "convention": 1}
NETWORK = {"type": "network", "zone": "5301", "code": "N", "name": "Network"}
GROUP = {"type": "group", "zone": "5301", "code": "G", "name": "Group"}
RING = [[50.60, 3.38], [50.60, 3.40], [50.61, 3.40], [50.60, 3.38]]


def _member(reference="1", **more):
    return {"type": "member", "zone": "5301", "reference": reference, "name": "Someone"} | more


def _mobile(number):
    return {"type": "mobile", "value": number}


def _text(*lines):
    return [json.dumps(line) for line in lines]


@pytest.fixture
def write(database):
    return functools.partial(database.write, turn=Turn.LAST)


async def _rows(database, statement):
    async with database.read() as conn:
        return (await conn.execute(statement)).all()


async def _revision(database):
    async with database.read() as conn:
        return (await zones(conn))[0].register_rev


async def test_the_example_of_the_guide_loads_as_it_stands(database, write):
    guide = Path(__file__).parents[3].joinpath("docs", "seed-format.md").read_text(encoding="utf-8")
    lines = re.search(r"```jsonl\n(.*?)```", guide, re.DOTALL)[1].splitlines()

    report = await load(write, lines)

    assert report.lines == len(lines) == 8
    assert report.unusable_count == 0
    values = await _rows(database, sa.select(contact.c.type, contact.c.value).order_by(contact.c.id))
    assert set(map(tuple, values)) == {
        ("mobile", "+32470123456"),
        ("email", "elise@example.org"),
        ("landline", "+3269200001"),
        ("mobile", "+31612345678"),
    }


async def test_the_same_file_again_changes_nothing_and_does_not_move_the_register(database, write):
    lines = _text(
        ZONE,
        NETWORK | {"territory": [RING], "codes": [{"system": "nis", "value": "57081"}]},
        GROUP,
        _member(networks=[{"code": "N"}], groups=["G"], contacts=[_mobile("0470123456")]),
        _member("2", position={"lat": 50.6, "lon": 3.4}, opt_outs=["news", "info"]),
    )
    await load(write, lines)
    before = await _revision(database)

    report = await load(write, lines)

    assert {tally for tally in report.tallies.values()} == {RegisterTally(unchanged=1), RegisterTally(unchanged=2)}
    assert await _revision(database) == before


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "Another"},
        {"language": "fr"},
        {"position": {"lat": 50.61, "lon": 3.4}},
        {"postcode": 7501},
        {"opt_outs": ["news"]},
        {"networks": [{"code": "N", "role": "coordinator"}]},
        {"networks": []},
        {"groups": []},
        {"contacts": [_mobile("0470123456")]},
        {"contacts": [{"type": "email", "value": "a@example.org"}, _mobile("0470123456")]},
        {"contacts": []},
    ],
)
async def test_a_changed_member_is_one_change_and_moves_the_register(database, write, changed):
    first = _member(
        networks=[{"code": "N"}],
        groups=["G"],
        contacts=[_mobile("0470123456"), {"type": "email", "value": "a@example.org"}],
    )
    await load(write, _text(ZONE, NETWORK, GROUP, first, _member("2")))
    before = await _revision(database)

    report = await load(write, _text(first | changed, _member("2")))

    assert report.tallies == {"member": RegisterTally(changed=1, unchanged=1)}
    assert await _revision(database) == before + 1


async def test_the_same_file_again_leaves_what_people_said_themselves(database, write):
    lines = _text(ZONE, _member(contacts=[_mobile("0470123456")], opt_outs=["news"]), _member("2"))
    await load(write, lines)
    ((zone_id, member_id, address_id),) = await _rows(
        database, sa.select(member.c.zone_id, member.c.id, contact.c.address_id).join(contact)
    )
    said = [OptOut("info", member_id=member_id), OptOut("news", "sms", address_id=address_id)]
    await write(lambda tx: add_opt_outs(tx, zone_id, said, "stop"))
    before = await _revision(database)

    report = await load(write, lines)

    assert report.tallies == {"zone": RegisterTally(unchanged=1), "member": RegisterTally(unchanged=2)}
    assert await _revision(database) == before
    in_force = await _rows(database, sa.select(opt_out.c.kind, opt_out.c.source).where(opt_out.c.until_ms.is_(None)))
    assert set(map(tuple, in_force)) == {("news", "seed"), ("info", "stop"), ("news", "stop")}


async def test_a_changed_contact_closes_its_version_and_leaves_the_others(database, write):
    mail = {"type": "email", "value": "a@example.org"}
    await load(write, _text(ZONE, _member(contacts=[_mobile("0470123456"), mail])))

    await load(write, _text(_member(contacts=[_mobile("0470999999"), mail])))

    rows = await _rows(database, sa.select(contact.c.value, contact.c.until_ms.is_(None)).order_by(contact.c.value))
    assert list(map(tuple, rows)) == [("+32470123456", False), ("+32470999999", True), ("a@example.org", True)]


async def test_members_of_another_zone_with_the_same_reference_are_other_people(database, write):
    lines = _text(ZONE, ZONE | {"code": "5302"}, _member(), _member(zone="5302"))

    await load(write, lines)

    assert await _rows(database, sa.select(sa.func.count(member.c.id))) == [(2,)]


async def test_an_unusable_contact_is_left_out_counted_and_listed_and_the_member_is_loaded(database, write):
    bad = [_mobile("12"), {"type": "email", "value": "nobody"}, _mobile("0900 12345")]

    report = await load(write, _text(ZONE, _member(contacts=[*bad, _mobile("0470123456")])))

    assert report.unusable_count == 3
    assert [(u.line, u.path) for u in report.unusable] == [(2, f"$.contacts[{n}]") for n in range(3)]
    assert await _rows(database, sa.select(contact.c.value)) == [("+32470123456",)]


_FAULTS = [
    ("{", "$", "truncated"),
    ('{"type": "street"}', "$.type", "`street` is none of them"),
    (ZONE | {"convention": 3}, "$.convention", "one of 1, 2 is wanted"),
    (ZONE | {"policy": {"colour": 1}}, "$.policy", "unknown field `colour`"),
    (ZONE | {"name": "two\nlines"}, "$.name", "control character"),
    (NETWORK | {"zone": "9999"}, "$.zone", "no zone 9999"),
    (NETWORK | {"territory": [RING[:3]]}, "$.territory[0]", "at least four"),
    (NETWORK | {"territory": [RING, [[50.6, 3.3], [50.7, 3.4], [50.8, 3.5], [50.6, 3.3]]]}, "$.territory[1]", "line"),
    (_member(networks=[{"code": "X"}]), "$.networks[0].code", "no network X"),
    (_member(networks=[{"code": "M"}, {"code": "M", "role": "coordinator"}]), "$.networks[1].code", "once"),
    (_member(groups=["X"]), "$.groups[0]", "no group X"),
    (_member(position={"lat": 3.4, "lon": 50.6}), "$.position", "latitude first"),
    (_member(contacts=[{"type": "fax", "value": "1"}]), "$.contacts[0].type", "`fax` is none of them"),
    (_member(opt_outs=["spam"]), "$.opt_outs[0]", "`spam` is none of them"),
    (_member(language="French"), "$.language", "does not match"),
    ({"type": "account", "code": "a", "name": "A", "account_type": "king"}, "$.account_type", "king"),
    (
        {
            "type": "account",
            "code": "a",
            "name": "A",
            "account_type": "cic",
            "rights": [{"action": "read", "zone": "5301", "network": "X"}],
        },
        "$.rights[0].network",
        "no network X",
    ),
    (
        {"type": "lot", "zone": "5301", "reference": "r", "amount_millieuro": -1},
        "$.amount_millieuro",
        "less than 1",
    ),
]


@pytest.mark.parametrize(("line", "path", "reason"), _FAULTS)
async def test_an_unsound_line_is_refused_with_line_path_and_reason(write, line, path, reason):
    text = line if isinstance(line, str) else json.dumps(line)
    before = [] if isinstance(line, dict) and line["type"] == "zone" else [ZONE, NETWORK | {"code": "M"}]

    with pytest.raises(SeedRefused) as refused:
        await load(write, [*_text(*before), "", text])

    (error,) = refused.value.errors
    assert (error.line, error.path) == (len(before) + 2, path)
    assert reason in error.reason


async def test_every_error_is_told_up_to_fifty_and_the_rest_is_counted(write):
    lines = [*_text(ZONE), *_text(*(_member(str(n), zone="x") for n in range(60)))]

    with pytest.raises(SeedRefused) as refused:
        await load(write, lines)

    assert refused.value.count == 60
    assert [error.line for error in refused.value.errors] == list(range(2, 52))


async def test_the_same_member_twice_in_a_file_is_an_error(write):
    with pytest.raises(SeedRefused, match="in the file already"):
        await load(write, _text(ZONE, _member(), _member(name="Another")))


async def test_checking_tells_the_same_errors_and_writes_nothing(database, write):
    reader = await check(write, _text(ZONE, _member(groups=["X"], contacts=[_mobile("1")]), _member("2")))

    assert [(error.line, error.path) for error in reader.errors] == [(2, "$.groups[0]")]
    assert await _rows(database, sa.select(member.c.id)) == []


async def test_what_was_loaded_before_an_error_stays_and_the_mended_file_completes_it(database, write):
    people = _text(*(_member(str(n)) for n in range(900)))

    with pytest.raises(SeedRefused):
        await load(write, [*_text(ZONE), *people, "{"])
    loaded = await _rows(database, sa.select(sa.func.count(member.c.id)))
    report = await load(write, [*_text(ZONE), *people])

    assert loaded == [(799,)]
    assert report.tallies["member"] == RegisterTally(new=101, unchanged=799)


async def test_progress_is_told_after_every_transaction(write):
    told = []

    await load(write, _text(ZONE, *(_member(str(n)) for n in range(999))), lambda report: told.append(report.lines))

    assert told == [200, 400, 600, 800, 1000]


async def test_a_lot_is_filed_once_and_its_terms_do_not_change_silently(database, write):
    lot = {"type": "lot", "zone": "5301", "reference": "order 1", "amount_millieuro": 5500}
    lines = _text(ZONE, lot | {"valid_until": "2028-07-20T22:00:00+02:00"})
    await load(write, lines)
    await load(write, lines)

    with pytest.raises(SeedRefused, match="order 1"):
        await load(write, _text(lot | {"amount_millieuro": 9900}))

    rows = await _rows(database, sa.select(lots.c.amount_millieuro, lots.c.valid_until_ms))
    assert rows == [(5500, 1_847_736_000_000)]


async def test_an_account_has_exactly_the_rights_of_its_line_and_keeps_its_keys(database, write):
    line = {
        "type": "account",
        "code": "c",
        "name": "C",
        "account_type": "cic",
        "senders": ["cic@police.example"],
        "kind_rules": [{"kind": "alert", "urgency": ["Immediate"]}],
        "rights": [{"action": "submit", "zone": "5301"}, {"action": "read"}],
        "keys": [{"key_id": "0123456789ab", "secret_sha256": "a" * 64}],
    }
    await load(write, _text(ZONE, NETWORK, line))

    narrowed = line | {"rights": [{"action": "read", "zone": "5301", "network": "N"}], "keys": []}
    report = await load(write, _text(narrowed))

    async with database.read() as conn:
        key = await find_key(conn, "0123456789ab")
        zone_id = (await zones(conn))[0].id
    (network_id,) = (await _rows(database, sa.select(network.c.id)))[0]
    assert report.tallies == {"account": RegisterTally(changed=1)}
    assert key is not None
    assert key.rights == (RightRow("read", zone_id, network_id),)
    assert json.loads(key.senders) == ["cic@police.example"]
    assert [rule.kind for rule in read_kind_rules(key.kind_rules)] == ["alert"]


CIC = {"type": "account", "code": "c", "name": "C", "account_type": "cic", "senders": ["cic@police.example"]}


async def test_the_terms_of_a_sender_are_loaded_and_loaded_again_change_nothing(database, write):
    pem = certificate(ec_key()).public_bytes(Encoding.PEM).decode()
    terms = {"sender": "cic@police.example", "versions": ["1.1", "1.2"], "signature": "require", "certificates": pem}
    line = CIC | {"terms": [terms], "keys": [{"key_id": "0123456789ab", "secret_sha256": "a" * 64}]}
    await load(write, _text(line))

    again = await load(write, _text(line))

    assert again.tallies == {"account": RegisterTally(unchanged=1)}
    async with database.read() as conn:
        (kept,) = read_terms((await find_key(conn, "0123456789ab")).terms)
    assert kept == SenderTerms("cic@police.example", ("1.1", "1.2"), signature="require", certificates=pem)


async def test_terms_that_make_no_sense_are_refused_with_line_and_path(database, write):
    terms = [{"sender": "cic@police.example", "relaxed": ["G-DESC"], "certificates": "x"}]

    with pytest.raises(SeedRefused) as caught:
        await load(write, _text(CIC | {"terms": terms}))

    told = {error.path: (error.line, error.reason) for error in caught.value.errors}
    assert told["$.terms[0].relaxed"] == (1, "G-DESC is what CAP itself demands (3.2.4 areaDesc) and cannot be relaxed")
    assert told["$.terms[0].certificates"][1].startswith("this cannot be read as certificates in PEM")
    assert await _rows(database, sa.select(account)) == []


async def test_an_expired_certificate_is_told_and_loaded(database, write):
    old = certificate(ec_key(), "old.example", start=NOW - 4 * YEAR, end=NOW - 3 * YEAR)
    pem = old.public_bytes(Encoding.PEM).decode()
    lines = _text(CIC | {"terms": [{"sender": "cic@police.example", "signature": "accept", "certificates": pem}]})

    told = (await check(write, lines)).remarks
    report = await load(write, lines)

    assert list(report.remarks) == told
    assert [(remark.line, remark.path) for remark in told] == [(1, "$.terms[0].certificates")]
    assert "(CN=old.example) expired on 2023-05-12" in told[0].text
    assert report.tallies == {"account": RegisterTally(new=1)}


async def test_codes_of_networks_are_kept_by_the_systems_own_name_and_edition(database, write):
    codes = [{"system": "nis5", "value": "46013"}, {"system": "emma_id", "value": "BE003"}]
    await load(write, _text(ZONE, NETWORK | {"codes": codes}))

    await load(write, _text(NETWORK | {"codes": codes[:1]}))

    assert await _rows(database, sa.select(network_code.c.system, network_code.c.value)) == [("REFNIS", "46030")]


async def test_a_member_moves_from_one_network_to_another(database, write):
    other = NETWORK | {"code": "O"}
    await load(write, _text(ZONE, NETWORK, other, _member(networks=[{"code": "N"}])))

    await load(write, _text(_member(networks=[{"code": "O"}])))

    rows = await _rows(database, sa.select(network.c.code).join(membership))
    assert rows == [("O",)]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (("mobile", "0470 12 34 56"), ContactRecord("mobile", "+32470123456")),
        (("landline", "0470 12 34 56"), ContactRecord("mobile", "+32470123456")),
        (("mobile", "069 20 00 01"), ContactRecord("landline", "+3269200001")),
        (("landline", "+1 212 555 2368"), ContactRecord("landline", "+12125552368")),
        (("phone", "+1 212 555 2368"), ContactRecord("mobile", "+12125552368")),
        (("email", " Me@Example.ORG"), ContactRecord("email", "Me@example.org")),
    ],
)
def test_the_numbering_plan_decides_between_mobile_and_landline_where_it_can(given, kept):
    assert normalise(Contact(*given)) == kept


def test_the_actions_of_a_line_are_those_of_the_gateway():
    allowed = RightLine.__annotations__["action"].__args__

    assert set(allowed) == set(Action)


# ---- publishing, modes, territories ---------------------------------------------------------------------------------


async def rights_after(database, write, **changed) -> set[tuple[str, str, str, str]]:
    """(action, kind, channel, mode) of the centre's account as a file gives it."""
    line = CIC | {"keys": [{"key_id": "0123456789ab", "secret_sha256": "a" * 64}]} | changed
    await load(write, _text(ZONE, NETWORK, line))
    async with database.read() as conn:
        key = await find_key(conn, "0123456789ab")
    return {(r.action, r.kind, r.channel, r.mode) for r in key.rights}


SUBMIT = {"action": "submit", "zone": "5301"}


@pytest.mark.parametrize(
    ("changed", "publishes"),
    [
        ({"rights": [SUBMIT]}, {("publish", "*", "*", "*")}),
        ({"rights": [SUBMIT | {"kind": "alert"}]}, {("publish", "alert", "*", "*")}),
        ({"rights": [SUBMIT | {"mode": "simulation"}]}, {("publish", "*", "*", "simulation")}),
        ({"rights": [SUBMIT], "publishes": False}, set()),
        ({"rights": [SUBMIT], "account_type": "officer"}, set()),
        ({"rights": [SUBMIT | {"network": "N"}]}, set()),
        ({"rights": [SUBMIT | {"channel": "email"}]}, set()),
        (
            {"rights": [SUBMIT, {"action": "publish", "zone": "5301", "kind": "news"}]},
            {("publish", "news", "*", "*")},
        ),
    ],
)
async def test_a_file_of_before_publishing_was_a_right_means_that_dispatch_centres_publish(
    database, write, changed, publishes
):
    rights = await rights_after(database, write, **changed)

    assert {right for right in rights if right[0] == "publish"} == publishes


@pytest.mark.parametrize("narrowed", [{"network": "N"}, {"channel": "sms"}])
async def test_a_right_to_publish_is_for_a_whole_zone_and_for_everybody(write, narrowed):
    line = CIC | {"rights": [{"action": "publish", "zone": "5301"} | narrowed]}

    with pytest.raises(SeedRefused) as refused:
        await load(write, _text(ZONE, NETWORK, line))

    assert refused.value.errors[0].path == "$.rights[0]"


async def test_a_zone_has_the_territory_of_its_line(database, write):
    ring = [[50.4, 3.8], [50.4, 3.9], [50.5, 3.9], [50.4, 3.8]]
    codes = [{"system": "nis", "value": "57027"}, {"system": "Postal code", "value": "7000"}]
    await load(write, _text(ZONE | {"territory": [ring], "codes": codes}))

    async with database.read() as conn:
        [land] = await territories(conn)
    found = read_territory(land.territory)
    assert found is not None
    assert found.rings == (tuple(map(tuple, ring)),)
    assert found.codes == (("POSTCODE", "7000"), ("REFNIS", "57027"))

    await load(write, _text(ZONE))
    async with database.read() as conn:
        assert [read_territory(land.territory) for land in await territories(conn)] == [None]
