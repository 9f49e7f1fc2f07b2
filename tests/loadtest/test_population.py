"""The made-up population: repeatable, sound to the last line, and as awkward as a real register."""

import functools
import hashlib
import io
import json
import stat

import phonenumbers
import pytest
import sqlalchemy as sa

from gateway.directory.seed import load
from loadtest.population import account_codes, main, population, token
from store.access.accounts import find_key
from store.engine.turns import Turn
from store.tables import contact, member

SMALL = {"zones": 2, "networks": 3, "members": 3000, "seed": 1, "key_salt": "test"}


@pytest.fixture(scope="module")
def lines():
    return list(population(**SMALL))


def _members(lines):
    return [line for line in lines if line["type"] == "member"]


def _values(line, *types):
    return [contact["value"] for contact in line["contacts"] if contact["type"] in types]


def test_the_same_seed_gives_the_same_population_and_another_one_another(lines):
    assert list(population(**SMALL)) == lines
    assert list(population(**SMALL | {"seed": 2})) != lines


def test_there_are_as_many_members_as_were_asked_for():
    for members in (0, 1, 7, 300):
        assert len(_members(population(**SMALL | {"members": members}))) == members


def test_every_number_is_valid_in_its_plan_and_every_mailbox_is_an_example(lines):
    for line in _members(lines):
        for number in _values(line, "mobile", "landline"):
            assert phonenumbers.is_valid_number(phonenumbers.parse(number, "BE")), number
        for mailbox in _values(line, "email"):
            domain = mailbox.rpartition("@")[2].lower()
            assert domain == "example.org" or domain.endswith(".example")


def test_the_population_holds_what_makes_registers_hard(lines):
    members = _members(lines)
    mobiles = [number for line in members for number in _values(line, "mobile")]

    assert any(not line["contacts"] for line in members)
    assert any(_values(line, "email") and not _values(line, "mobile", "landline") for line in members)
    assert any(_values(line, "landline") and not _values(line, "mobile") for line in members)
    assert any(number.startswith("+") and not number.startswith("+32") for number in mobiles)
    assert any("position" not in line for line in members)
    assert any(len(line["networks"]) == 2 for line in members)
    assert any(line.get("opt_outs") for line in members)
    assert any(not line["name"].isascii() and "\u202e" in line["name"] for line in members)
    assert len(set(mobiles)) < len(mobiles)
    assert {line["language"] for line in members} == {"nl", "fr", "de", "en"}


def test_one_address_lives_in_every_zone(lines):
    zones = [
        {n for line in _members(lines) if line["zone"] == z for n in _values(line, "mobile")} for z in ("5301", "5302")
    ]

    assert "+32470000000" in zones[0] & zones[1]


async def test_it_loads_without_an_error_or_an_unusable_contact(database, lines):
    report = await load(functools.partial(database.write, turn=Turn.LAST), map(json.dumps, lines))

    assert report.unusable_count == 0
    assert report.tallies["member"].new == 3000
    async with database.read() as conn:
        assert (await conn.execute(sa.select(sa.func.count(member.c.id)))).scalar_one() == 3000
        kinds = {row.type for row in await conn.execute(sa.select(contact.c.type).distinct())}
    assert kinds == {"mobile", "landline", "email"}


async def test_its_tokens_open_its_accounts(database):
    few = list(population(**SMALL | {"members": 0}))
    await load(functools.partial(database.write, turn=Turn.LAST), map(json.dumps, few))

    for code in account_codes(2, 3):
        scheme, key_id, secret = token(code, "test").split("_")
        async with database.read() as conn:
            key = await find_key(conn, key_id)
        assert scheme == "tocsin"
        assert (key.code, key.secret_sha256) == (code, hashlib.sha256(secret.encode()).hexdigest())


def test_the_command_writes_the_file_and_the_tokens_for_their_owner_only(tmp_path):
    out, tokens = io.StringIO(), tmp_path / "tokens"

    main(["--zones", "1", "--networks", "1", "--members", "5", "--tokens", str(tokens)], out)

    types = [json.loads(line)["type"] for line in out.getvalue().splitlines()]
    assert types.count("member") == 5
    assert stat.S_IMODE(tokens.stat().st_mode) == 0o600
    codes = [line.split("\t")[0] for line in tokens.read_text().splitlines()]
    assert codes == ["cic-demo", "officer-5301", "coordinator-PLP-5301-1", "operator", "auditor"]
