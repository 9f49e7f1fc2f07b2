"""The operator's verbs, as typed: keys, accounts, persons, money, and who did what."""

import asyncio
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner, Result

from gateway.access.keys import Keyring, Stranger, keys_of
from gateway.access.rights import Action
from gateway.cli import app
from store import audit
from store.access import accounts, invitations
from store.access.accounts import KeyRow
from store.audit_line import Actor
from store.engine.database import open_database
from store.engine.transaction import Transaction
from tests.gateway.command_line import CommandLine

SEED = [
    {"type": "zone", "code": "5301", "name": "Zone", "convention": 1},
    {"type": "network", "zone": "5301", "code": "N", "name": "Net"},
    {"type": "account", "code": "cic", "name": "CIC", "account_type": "cic", "rights": [{"action": "submit"}],
     "keys": [{"key_id": "seeded000000", "secret_sha256": "a" * 64}]},
    {"type": "member", "zone": "5301", "reference": "m-1", "name": "Jan Peeters",
     "contacts": [{"type": "mobile", "value": "+32470123456"}], "networks": [{"code": "N"}]},
    {"type": "lot", "zone": "5301", "reference": "order 1", "amount_millieuro": 500_000},
]  # fmt: skip


class Desk(CommandLine):
    """A command line over one store, and what a register may ask of it."""

    def load(self, *lines: dict[str, object]) -> str:
        file = self.folder / "seed.jsonl"
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return self.said("load", str(file))

    def comes_in(self, token: str) -> bool:
        """Whether the door would take this key."""

        async def ask() -> bool:
            async with open_database(self.url) as database:
                try:
                    return bool(await Keyring(keys_of(database)).caller(f"Bearer {token}", "peer"))
                except Stranger:
                    return False

        return asyncio.run(ask())


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path)
    made.load(*SEED)
    return made


def made_key(desk: Desk, *more: str) -> tuple[str, str]:
    token = re.findall(r"tocsin_\w+_\S+", desk.said("key", "make", "cic", *more))[0]
    return token, token.split("_")[1]


def test_a_key_is_good_at_once_until_it_is_revoked_and_no_file_revives_it(desk: Desk) -> None:
    token, key_id = made_key(desk, "--note", "the new desk")

    assert desk.comes_in(token)
    assert f"cic {key_id}: good, made" in desk.said("key", "list", "cic")
    assert "(the new desk)" in desk.said("key", "list")

    assert f"Key {key_id} is revoked" in desk.said("key", "revoke", key_id)
    desk.load(*SEED)

    assert not desk.comes_in(token)
    assert f"cic {key_id}: REVOKED" in desk.said("key", "list")
    assert "is still good" in desk.refused("key", "revoke", key_id)


def test_a_key_ends_by_itself(desk: Desk) -> None:
    token, key_id = made_key(desk, "--expires", "90d")
    assert desk.comes_in(token)

    async def end() -> None:
        async with open_database(desk.url) as database:
            past = sa.text("UPDATE api_key SET expires_ms = 1 WHERE key_id = :key")
            await database.write(lambda tx: tx.run(past, {"key": key_id}))

    asyncio.run(end())

    assert not desk.comes_in(token)
    assert f"cic {key_id}: ENDED 1970" in desk.said("key", "list")
    assert "no longer ends" in desk.said("key", "expire", key_id, "never")
    assert desk.comes_in(token)
    assert "ends 20" in desk.said("key", "expire", key_id, "2099-01-31")


@pytest.mark.parametrize("when", ["soon", "1999-01-01", "0d", "2027-13-01", ""])
def test_an_end_that_is_none_or_has_passed_is_said_so(desk: Desk, when: str) -> None:
    result = desk.ask("key", "expire", "seeded000000", when)

    assert result.exit_code == 2
    assert "tocsin:" in result.stderr


def test_the_values_for_a_seed_file_store_nothing(desk: Desk) -> None:
    said = desk.said("key", "make", "cic", "--line")
    token = re.findall(r"tocsin_\w+_\S+", said)[0]
    key = json.loads("{" + said.partition("seed line: ")[2] + "}")["keys"][0]

    assert not desk.comes_in(token)
    desk.load(SEED[0], SEED[2] | {"keys": [key]})
    assert desk.comes_in(token)


def test_an_account_is_disabled_with_all_its_keys_and_enabled_again(desk: Desk) -> None:
    token, _ = made_key(desk)

    assert "Account cic is disabled" in desk.said("account", "disable", "cic", "--reason", "the laptop was lost")
    desk.load(*SEED)
    assert not desk.comes_in(token)
    assert "cic (cic, CIC): DISABLED" in desk.said("account", "list")
    assert "its account is DISABLED" in desk.said("key", "list")

    desk.said("account", "enable", "cic")
    assert desk.comes_in(token)


def test_a_course_is_noted_at_an_account_and_listed(desk: Desk) -> None:
    assert desk.said("account", "course", "cic", "First course", "--on", "2026-03-01") == (
        "Account cic: First course, 2026-03-01.\n"
    )
    assert desk.said("account", "courses", "cic").startswith("2026-03-01 First course: noted ")
    [noted] = json.loads(desk.said("account", "courses", "cic", "--json"))
    assert (noted["name"], noted["on_date"], noted["by"]) == ("First course", "2026-03-01", "")
    assert desk.ask("account", "course", "cic", "BIN", "--on", "1.3.2026").exit_code == 2
    assert desk.ask("account", "course", "cic", "BIN", "--on", "2999-01-01").exit_code == 2


@pytest.mark.parametrize(
    "words",
    [
        "key make nobody", "key revoke nobody", "key list nobody", "key expire nobody 1d", "account disable nobody",
        "account course nobody BIN --on 2026-03-01", "account courses nobody",
        "member remove 5301 nobody", "member find nobody", "member erase 9999 m-1", "member export 5301 x",
        "balance 9999",
    ],
)  # fmt: skip
def test_what_there_is_not_is_a_sentence(desk: Desk, words: str) -> None:
    assert desk.refused(*words.split()).startswith("tocsin: ")


def test_a_person_is_found_exported_removed_and_erased(desk: Desk) -> None:
    assert desk.said("member", "find", "0470/12.34") == "5301 m-1: Jan Peeters\n"
    assert desk.said("member", "find", "peeters") == "5301 m-1: Jan Peeters\n"
    assert json.loads(desk.said("member", "export", "5301", "m-1"))["contacts"][0]["value"] == "+32470123456"

    assert "no longer in the register" in desk.said("member", "remove", "5301", "m-1")
    assert "was removed before" in desk.said("member", "remove", "5301", "m-1")
    assert "1 changed" in desk.load(*SEED)

    assert "is closed, and is erased" in desk.said("member", "erase", "5301", "m-1")
    assert "1 left out: they were erased" in desk.load(*SEED)
    assert "nobody is found" in desk.refused("member", "find", "peeters")
    assert "has nobody of reference" in desk.refused("member", "export", "5301", "m-1")


def test_the_balance_of_a_zone_tells_its_lots(desk: Desk) -> None:
    said = desk.said("balance")
    [purse] = json.loads(desk.said("balance", "5301", "--json"))

    assert "zone 5301: 500.000 EUR may be spent, 0.000 EUR reserved, 0.000 EUR spent" in said
    assert "lot order 1: 500.000 EUR of 500.000 EUR free, without an end" in said
    assert (purse["balance_millieuro"], purse["lots"][0]["free_millieuro"]) == (500_000, 500_000)


def test_who_did_what_is_told_and_chained(desk: Desk) -> None:
    _, key_id = made_key(desk)
    desk.said("key", "revoke", key_id)
    desk.said("hold", "zone", "5301", "--reason", "drill")
    desk.said("resume", "zone", "5301")
    desk.said("account", "disable", "cic")
    desk.said("member", "export", "5301", "m-1")
    desk.said("member", "erase", "5301", "m-1")

    lines = [json.loads(line) for line in desk.said("audit", "--json").splitlines()]
    actions = [line["action"] for line in reversed(lines)]

    assert actions == [
        "load-begin", "zone-load", "network-load", "account-load", "rights", "key-load", "lot-load", "load", "load",
        "key-make", "key-revoke", "hold", "resume", "account-disable", "member-export", "member-remove", "member-erase",
        "member-erased",
    ]  # fmt: skip
    assert {line["via"] for line in lines} == {"cli", ""}
    assert [line["action"] for line in lines if not line["via"]] == ["member-erased"]
    assert all("by" in line["apart"] for line in lines if line["via"] and not line["erased"])
    assert all("Peeters" not in json.dumps(line) for line in lines)
    assert "hold zone 1 (5301) by " in desk.said("audit", "--action", "hold")
    assert "reason drill" in desk.said("audit", "--action", "hold")
    assert desk.said("audit", "--subject", key_id).count("\n") == 2

    # The list and the three questions above are lines themselves.
    assert "22 wait for a running server" in desk.said("audit", "verify")
    asyncio.run(_link(desk))
    said = desk.said("audit", "verify")
    head = said.split()[-1]
    assert "22 lines are chained." in said
    assert "22 lines" in desk.said("audit", "verify", "--head", head)
    assert desk.ask("audit", "verify", "--head", "x").exit_code == 2

    asyncio.run(_forge(desk))
    assert desk.ask("audit", "verify").exit_code == 1
    assert "was changed" in desk.ask("audit", "verify").stdout


def test_what_is_read_at_the_terminal_is_a_line_with_whose_login_it_was(desk: Desk) -> None:
    desk.said("member", "find", "peeters")
    desk.refused("member", "find", "nobody at all")
    desk.said("key", "list", "cic")
    desk.said("account", "list")
    desk.said("cap", "replay")
    desk.said("audit", "--action", "load")

    lines = [json.loads(line) for line in desk.said("audit", "--json").splitlines()]
    read = [(line["action"], line["about"] if "about" in line else line["subject"]) for line in lines]

    assert read[:6] == [
        ("audit-read", "audit"), ("refused-read", "refused"), ("accounts-read", "accounts"), ("keys-read", "cic"),
        ("member-find", "nobody"), ("member-find", "member 1"),
    ]  # fmt: skip
    assert all(line["via"] == "cli" and line["apart"]["by"] for line in lines[:6])
    assert lines[5]["apart"]["words"] == "peeters"
    assert "nobody at all" not in json.dumps(lines)

    # By the reference in the register, which the line of that reading does not keep.
    assert "member-find member 1 (" in desk.said("audit", "--subject", "m-1")
    assert "subject member " in desk.said("audit", "--subject", "audit", "--most", "1")

    # With the person what was typed to find them goes, too.
    desk.said("member", "erase", "5301", "m-1")
    found = [json.loads(line) for line in desk.said("audit", "--action", "member-find", "--json").splitlines()]
    assert [line["erased"] for line in found] == [False, True]
    assert "peeters" not in json.dumps(found)


def test_what_stands_apart_of_an_accounts_lines_is_erased_and_the_lines_stay(desk: Desk) -> None:
    async def came_by_http() -> None:
        async with open_database(desk.url) as database:
            by = Actor(account_id=1, via="http", address="192.0.2.7")
            await database.write(lambda tx: audit.note(tx, "stop", "c1", by))
            await database.write(audit.link)

    asyncio.run(came_by_http())
    assert "address 192.0.2.7" in desk.said("audit", "--account", "cic")

    assert "of 0 lines" in desk.said("audit", "erase", "cic", "--days", "30")
    assert "of 1 lines of cic is erased" in desk.said("audit", "erase", "cic")

    assert "stop c1 by cic: what stood beside it was erased" in desk.said("audit", "--account", "cic")
    assert "no account" in desk.refused("audit", "erase", "nobody")
    assert desk.ask("audit", "verify").exit_code == 0


async def _link(desk: Desk) -> None:
    async with open_database(desk.url) as database:
        await database.write(audit.link)


async def _forge(desk: Desk) -> None:
    async with open_database(desk.url) as database:
        forged = sa.text("UPDATE audit SET subject = 'zone 9' WHERE action = 'hold'")
        await database.write(lambda tx: tx.run(forged))


@pytest.mark.parametrize("width", [60, 80, 120])
def test_help_is_in_whole_paragraphs_at_every_width(width: int) -> None:
    for words in (["serve"], ["hold"], ["key", "make"], ["member", "erase"], ["audit", "verify"]):
        text = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": str(width), "TERM": "dumb"}).stdout
        prose = [line.strip() for line in text.split("╭")[0].split("+-")[0].splitlines()[3:]]
        # A line that is followed by another one of its paragraph had no room for that one's first word.
        for line, following in itertools.pairwise(prose):
            if line and following:
                assert len(line) + 1 + len(following.split()[0]) > width - 6, (words, line, following)


HEAVY = ("alembic", "asyncpg", "aiohttp", "xmlschema", "signxml", "shapely", "pyproj", "numpy", "cap", "cryptography")


@pytest.mark.parametrize("words", [["hold", "all"], ["status"], ["key", "list"], ["audit"], ["balance"]], ids=" ".join)
def test_a_verb_loads_only_what_it_needs(desk: Desk, words: list[str]) -> None:
    """`hold` is an emergency brake: nobody waits for the cryptography of a server."""
    code = (
        "import sys; from gateway.cli import app\n"
        "try: app(sys.argv[1:])\nexcept SystemExit: pass\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )

    asked = subprocess.run(
        [sys.executable, "-c", code, *words, "-c", str(desk.config)],
        capture_output=True, text=True, check=True, timeout=60, cwd=Path(__file__).parents[2],
    )  # fmt: skip

    assert asked.stdout.splitlines()[-1] == "[]"


def test_the_brake_waits_for_no_library_of_the_store(desk: Desk) -> None:
    code = (
        "import sys; from gateway.cli import app\n"
        "try: app(sys.argv[1:])\nexcept SystemExit: pass\n"
        "assert 'sqlalchemy' not in sys.modules"
    )

    asked = subprocess.run(
        [sys.executable, "-c", code, "hold", "zone", "5301", "--reason", "storm", "-c", str(desk.config)],
        capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[2],
    )  # fmt: skip

    assert asked.returncode == 0, asked.stderr
    assert "HOLD on zone 5301 since 0 s" in asked.stdout
    assert "hold zone 1 (5301) by" in desk.ask("audit").stdout


# ---- load tells what is wrong, and with whom -----------------------------------------------------------------------


def checked(desk: Desk, *lines: object) -> Result:
    file = desk.folder / "file"
    file.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return desk.ask("load", "--check", str(file))


def test_a_check_finds_what_a_load_would_refuse_and_keeps_nothing(desk: Desk) -> None:
    other_amount = SEED[4] | {"amount_millieuro": 1}
    stolen_key = {"type": "account", "code": "thief", "name": "Thief", "account_type": "cic", "keys": SEED[2]["keys"]}
    new_zone = {"type": "zone", "code": "5302", "name": "Other", "convention": 1}
    lot_of_it = {"type": "lot", "zone": "5302", "reference": "order 1", "amount_millieuro": 5}

    told = checked(desk, new_zone, lot_of_it, other_amount, stolen_key)

    assert told.exit_code == 1
    assert "line 3: $: lot order 1 is there already with another amount or another date [(order 1)]" in told.stderr
    assert "line 4: $: the key id seeded000000 belongs to another account [Thief (thief)]" in told.stderr
    assert "tocsin: 2 errors" in told.stderr
    assert "there is no zone" in desk.refused("balance", "5302")
    assert "The file is sound." in checked(desk, new_zone, lot_of_it).stdout


def test_an_error_names_the_person_the_choices_and_what_is_meant(desk: Desk) -> None:
    wrong = SEED[3] | {"nam": "x", "contacts": [{"type": "gsm", "value": "1"}], "language": "Dutch"}

    told = checked(desk, wrong).stderr

    assert "unknown field `nam`: is `name` meant?" in told
    assert "[Jan Peeters (m-1)]" in told
    assert told.count("line 1: ") == 1
    assert "$.contacts[0].type: one of phone, mobile, landline, email is wanted, and `gsm` is none of them" in told
    assert "$.language" in told


def test_a_contact_that_is_left_out_names_its_person_and_its_value(desk: Desk) -> None:
    told = checked(desk, SEED[3] | {"contacts": [{"type": "mobile", "value": "0470 12"}]}).stderr

    assert "line 1: $.contacts[0]: " in told
    assert "[Jan Peeters (m-1): '0470 12']" in told


def test_an_opt_out_of_alerts_is_remarked_and_a_table_is_told_as_one(desk: Desk) -> None:
    remarked = checked(desk, SEED[3] | {"opt_outs": ["alert"]})
    table = checked(desk, "naam;gsm;mail", *(f"Jan {n};0470;j@x.be" for n in range(30)))

    assert "nobody opts out of alerts" in remarked.stderr
    assert "this is a table, as a spreadsheet writes it" in table.stderr
    assert "tocsin: 1 error in" in table.stderr


def test_a_file_in_another_encoding_is_told_as_one(desk: Desk) -> None:
    file = desk.folder / "latin"
    file.write_bytes(json.dumps(SEED[3] | {"name": "Renée"}, ensure_ascii=False).encode("latin-1") + b"\n")

    told = desk.ask("load", "--check", str(file))

    assert told.exit_code == 1
    assert "line 1: $: not UTF-8" in told.stderr


# ---- the first administrator, and keys that only simulate ------------------------------------------------------------


def invited(desk: Desk, *more: str) -> tuple[str, str]:
    """What was said, and the token of the link."""
    said = desk.said("account", "invite", "--admin", "--email", "jo@zone.example", "--name", "Jo", *more)
    return said, re.findall(r"/invitation#(\S+)", said)[0]


def taken_up(desk: Desk, token: str) -> KeyRow | None:
    """The account that a link opens and that is taken up by it; None: the link is worth nothing."""

    async def take(tx: Transaction) -> KeyRow | None:
        found = await invitations.open(tx, invitations.hashed_token(token))
        if found is None or not await invitations.accept(tx, found.id):
            return None
        return await accounts.find_account(tx.conn, found.account_id)

    async def work() -> KeyRow | None:
        async with open_database(desk.url) as database:
            return await database.write(take)

    return asyncio.run(work())


def test_the_first_administrator_of_a_zone_has_every_right_in_it_once_the_link_is_followed(desk: Desk) -> None:
    said, token = invited(desk, "--zone", "5301")

    assert "Account jo administers zone 5301" in said
    assert "jo (administrator, Jo): invited, 0 keys" in desk.said("account", "list")
    row = taken_up(desk, token)
    assert row is not None
    assert {right.action for right in row.rights} == {str(action) for action in Action}
    assert None not in {right.zone_id for right in row.rights}
    assert all(right.network_id is None and right.mode == "*" for right in row.rights)
    assert taken_up(desk, token) is None


def test_without_a_zone_it_is_the_operator_of_all(desk: Desk) -> None:
    _, token = invited(desk)

    row = taken_up(desk, token)

    assert row is not None
    assert (row.type, {right.zone_id for right in row.rights}) == ("operator", {None})


def test_inviting_again_makes_the_link_of_before_worthless_and_raises_nobody(desk: Desk) -> None:
    _, first = invited(desk, "--zone", "5301")
    _, second = invited(desk, "--zone", "5301")

    everywhere = desk.refused("account", "invite", "--admin", "--email", "jo@zone.example", "--name", "Jo")
    assert taken_up(desk, first) is None
    assert taken_up(desk, second) is not None
    again = desk.refused("account", "invite", "--admin", "--email", "jo@zone.example", "--name", "Jo", "--zone", "5301")
    cic = desk.refused("account", "invite", "--admin", "--email", "cic@zone.example", "--name", "C", "--code", "cic")

    assert "other rights" in everywhere
    assert "active" in again
    assert "the account cic is there, and active" in cic


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--admin", "--email", "jo", "--name", "Jo"], "no mail address"),
        (["--admin", "--email", "jo@zone.example", "--name", "Jo", "--zone", "9999"], "no zone '9999'"),
        (["--admin", "--email", "jo@zone.example", "--name", ""], "a name has"),
        (["--admin", "--email", "jo@zone.example", "--name", "Jo", "--language", "it"], "none of nl"),
        (["--admin", "--email", "jo+x@zone.example", "--name", "Jo"], "--code"),
    ],
)
def test_who_cannot_be_invited_is_told_why(desk: Desk, given: list[str], said: str) -> None:
    assert said in desk.refused("account", "invite", *given)


def test_a_test_key_says_so_and_may_stand_in_a_file(desk: Desk) -> None:
    token = re.findall(r"tocsin_test-\w+_\S+", desk.said("key", "make", "cic", "--test"))[0]
    line = desk.said("key", "make", "cic", "--test", "--line")
    keys = json.loads("{" + line.partition("seed line: ")[2] + "}")["keys"]

    desk.load(SEED[0], SEED[2] | {"keys": keys})

    assert desk.comes_in(token)
    assert desk.comes_in(re.findall(r"tocsin_test-\w+_\S+", line)[0])
    assert keys[0]["key_id"].startswith("test-")


def test_nobody_but_an_administrator_is_invited_at_the_terminal(desk: Desk) -> None:
    result = desk.ask("account", "invite", "--email", "jo@zone.example", "--name", "Jo")

    assert result.exit_code == 2
    assert "with --admin" in result.output
    assert "jo" not in desk.said("account", "list")
