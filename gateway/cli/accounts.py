"""`tocsin key` and `account`: who may come in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.terminal import ConfigOption, JsonOption, actor, fail, run, say, say_json, settings_of, store_of
from gateway.cli.verb import verb

if TYPE_CHECKING:
    from store.access.accounts import AccountView, KeyView
    from store.access.courses import CourseRow

key = typer.Typer(no_args_is_help=True, help="API keys: make, list, let end, revoke.")
account = typer.Typer(
    no_args_is_help=True, help="Accounts: list, invite the first administrator, disable, enable, and their courses."
)

CodeArgument = Annotated[str, typer.Argument(help="Code of the account, as in the seed file.")]
KeyId = Annotated[str, typer.Argument(help="The key's id: the part of the token between the two underscores.")]
ExpiresOption = Annotated[
    str, typer.Option("--expires", help="When it ends: 90d, 12h, a date (2027-01-31) or an instant with its offset.")
]
TAKES = "A server believes a key for five seconds: so long it may still be good."


@verb(key, "make")
def make(
    account: CodeArgument,
    expires: ExpiresOption = "",
    note: Annotated[str, typer.Option(help="Whose it is, or where it is used.")] = "",
    test: Annotated[bool, typer.Option("--test", help="A key that only simulates: tocsin_test-...")] = False,
    line: Annotated[bool, typer.Option("--line", help="Store nothing: print the values for a seed file.")] = False,
    config: ConfigOption = None,
) -> None:
    """Make an API key for an account. The token is shown once, and kept nowhere.

    It is good at once. With --line it is good once its line has been loaded ('tocsin load'). With --test nothing live
    is launched, stopped, published, held or shown by it, whatever the account may.
    """
    from gateway.access.keys import new_key

    made = new_key(test=test)
    ends_ms = _instant(expires) if expires else None
    if line:
        say(f"token for {account}, shown once: {made.token}")
        say(f'for its seed line: "keys": [{{"key_id": "{made.key_id}", "secret_sha256": "{made.secret_sha256}"}}]')
        return
    from store.access import accounts

    settings = settings_of(config)

    async def keep() -> bool:
        async with store_of(settings) as database:
            record = accounts.KeyRecord(made.key_id, made.secret_sha256)
            kept: bool = await database.write(
                lambda tx: accounts.add_key(tx, account, record, expires_ms=ends_ms, note=note, by=actor())
            )
            return kept

    if not run(keep()):
        fail(f"there is no account {account!r}", 1)
    until = f" It ends {_told(ends_ms)}." if ends_ms is not None else ""
    say(f"token for {account}, shown once: {made.token}")
    say(f"It is good now.{until} To take it back: tocsin key revoke {made.key_id}")


@verb(key, "list")
def list_keys(
    account: Annotated[str, typer.Argument(help="Code of an account; without one: all.")] = "",
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """The keys of an account, or of all: when each was made, whether it is good, and until when. Secrets are kept
    nowhere."""
    from store import audit
    from store.access import accounts
    from store.engine.storable_text import readable

    settings = settings_of(config)

    async def read() -> tuple[list[KeyView], int]:
        async with store_of(settings) as database:
            async with database.read() as conn:
                found = await accounts.keys(conn, account), database.clock.now_ms()
            await database.write(lambda tx: audit.note(tx, "keys-read", readable(account) or "keys", actor()))
            return found

    found, now_ms = run(read())
    if json:
        say_json(found)
        return
    for each in found:
        note = f" ({each.note})" if each.note else ""
        say(f"{each.account} {each.key_id}: {_state(each, now_ms)}, made {_told(each.created_ms)}{note}")
    if not found:
        fail(f"account {account!r} has no keys" if account else "there are no keys", 1)


@verb(key, "expire")
def expire(
    key_id: KeyId,
    when: Annotated[str, typer.Argument(help="90d, 12h, a date, an instant, or 'never'.")],
    config: ConfigOption = None,
) -> None:
    """Let a key end by itself at an instant: for the days in which a new one takes its place."""
    from store.access import accounts

    settings = settings_of(config)
    ends_ms = None if when == "never" else _instant(when)

    async def write() -> bool:
        async with store_of(settings) as database:
            changed: bool = await database.write(lambda tx: accounts.expire_key(tx, key_id, ends_ms, actor()))
            return changed

    if not run(write()):
        fail(f"there is no key {key_id!r} that could end", 1)
    say(f"Key {key_id} ends {_told(ends_ms)}." if ends_ms is not None else f"Key {key_id} no longer ends by itself.")


@verb(key, "revoke")
def revoke(key_id: KeyId, config: ConfigOption = None) -> None:
    """Take a key back, for good. Every server hears of it within five seconds.

    Exit code 1 when there is no such key, or it was revoked before.
    """
    from store.access import accounts

    settings = settings_of(config)

    async def write() -> bool:
        async with store_of(settings) as database:
            revoked: bool = await database.write(lambda tx: accounts.revoke_key(tx, key_id, actor()))
            return revoked

    if not run(write()):
        fail(f"there is no key {key_id!r} that is still good", 1)
    say(f"Key {key_id} is revoked. {TAKES}")


@verb(account, "list")
def list_accounts(json: JsonOption = False, config: ConfigOption = None) -> None:
    """Every account: its type, whether it is disabled, and how many keys are not revoked."""
    from store import audit
    from store.access import accounts

    settings = settings_of(config)

    async def read() -> list[AccountView]:
        async with store_of(settings) as database:
            async with database.read() as conn:
                found = await accounts.views(conn)
            await database.write(lambda tx: audit.note(tx, "accounts-read", "accounts", actor()))
            return found

    found = run(read())
    if json:
        say_json(found)
        return
    for each in found:
        say(f"{each.code} ({each.type}, {each.name}): {_account_state(each)}, {each.keys} keys")


@verb(account, "invite")
def invite(
    email: Annotated[str, typer.Option("--email", help="Mail address of the person.")],
    name: Annotated[str, typer.Option("--name", help="Name of the person.")],
    admin: Annotated[bool, typer.Option("--admin", help="An administrator: nobody else is invited here.")] = False,
    zone: Annotated[str, typer.Option("--zone", help="Code of the zone; without one: of every zone.")] = "",
    code: Annotated[str, typer.Option("--code", help="Code of the account; else what the address begins with.")] = "",
    language: Annotated[str, typer.Option("--language", help="nl, fr, de or en.")] = "en",
    config: ConfigOption = None,
) -> None:
    """Invite an administrator, and print the link by which the person comes in: nothing is sent.

    An administrator of a zone has every right in the whole of it; one of every zone is an operator, and has them in
    all. Everybody else is invited by an administrator, over the API. Inviting the same person again, who has not come
    in yet, prints a new link; the one before is worth nothing from then on.
    """
    from gateway.access.first_administrator import FirstAdministrator, NotInvited, invite_first
    from gateway.access.inviting import link_of
    from gateway.access.sign_in_site import base_url

    if not admin:
        fail("with --admin an administrator is invited; everybody else is invited by an administrator, over the API")
    settings = settings_of(config)
    wish = FirstAdministrator(email=email, name=name, zone=zone, code=code, language=language)

    async def write() -> tuple[str, str, int]:
        async with store_of(settings) as database:
            made, account_code = await database.write(lambda tx: invite_first(tx, wish, actor()))
            return made.token, account_code, made.ends_ms

    try:
        token, account_code, ends_ms = run(write())
    except NotInvited as exc:
        fail(str(exc), 1)
    where = f"zone {zone}" if zone else "every zone"
    say(f"Account {account_code} administers {where} once this link has been followed, until {_told(ends_ms)}:")
    say(link_of(base_url(settings.server), token))
    say("Whoever has the link comes in: hand it to nobody else. It is good once, and kept nowhere.")


@verb(account, "disable")
def disable(
    code: CodeArgument,
    reason: Annotated[str, typer.Option(help="For the audit, and for whoever comes next.")] = "",
    config: ConfigOption = None,
) -> None:
    """Let nobody come in by any key of an account, until 'tocsin account enable'. What it has launched goes on.

    Every server hears of it within five seconds. 'tocsin load' does not enable it again.
    """
    _set(code, True, reason, config)
    say(f"Account {code} is disabled. {TAKES}")


@verb(account, "enable")
def enable(code: CodeArgument, config: ConfigOption = None) -> None:
    """Let an account's keys be good again."""
    _set(code, False, "", config)
    say(f"Account {code} is enabled.")


@verb(account, "course")
def course(
    code: CodeArgument,
    name: Annotated[str, typer.Argument(help="What was learnt.")],
    on: Annotated[str, typer.Option("--on", help="The day on which it ended: 2026-03-01.")],
    config: ConfigOption = None,
) -> None:
    """Note a course that somebody has followed. A zone may want one of whoever alerts (course_within_days)."""
    from datetime import date

    from gateway.access.courses import CourseRequest, unsound
    from gateway.directory.zone_policy import day_of
    from store.access import courses

    settings = settings_of(config)
    try:
        asked = CourseRequest(name, date.fromisoformat(on))
    except ValueError:
        fail(f"{on!r} is no date: 2026-03-01")
    fault = unsound(asked, day_of(int(datetime.now(UTC).timestamp() * 1000)))
    if fault is not None:
        fail(fault.text)

    async def write() -> bool:
        async with store_of(settings) as database:
            async with database.read() as conn:
                taught = await courses.find(conn, code)
            if taught is None:
                fail(f"there is no account {code!r}", 1)
            noted = await database.write(lambda tx: courses.note(tx, taught, name, asked.on_date.isoformat(), actor()))
            return noted is not None

    if not run(write()):
        fail(f"account {code} has {courses.MOST} courses, and no more are kept", 1)
    say(f"Account {code}: {name}, {asked.on_date}.")


@verb(account, "courses")
def list_courses(code: CodeArgument, json: JsonOption = False, config: ConfigOption = None) -> None:
    """The courses of an account, the latest first."""
    from store import audit
    from store.access import courses

    settings = settings_of(config)

    async def read() -> list[CourseRow]:
        async with store_of(settings) as database:
            async with database.read() as conn:
                taught = await courses.find(conn, code)
                if taught is None:
                    fail(f"there is no account {code!r}", 1)
                found = await courses.of_account(conn, taught.id)
            await database.write(lambda tx: audit.note(tx, "courses-read", code, actor()))
            return found

    found = run(read())
    if json:
        say_json(found)
        return
    for each in found:
        say(f"{each.on_date} {each.name}: noted {_told(each.noted_ms)} by {each.by or 'somebody at the terminal'}")


def _set(code: str, disabled: bool, reason: str, config: ConfigOption) -> None:
    from store.access import accounts

    settings = settings_of(config)

    async def write() -> bool | None:
        async with store_of(settings) as database:
            done: bool | None = await database.write(
                lambda tx: accounts.set_disabled(tx, code, disabled, actor(), reason)
            )
            return done

    if run(write()) is None:
        fail(f"there is no account {code!r}", 1)


def _account_state(view: AccountView) -> str:
    if view.ended_ms is not None:
        return f"ENDED {_told(view.ended_ms)}"
    if view.disabled_ms is not None:
        return f"DISABLED since {_told(view.disabled_ms)}"
    return "enabled" if view.joined_ms is not None else "invited"


def _state(view: KeyView, now_ms: int) -> str:
    if view.revoked_ms is not None:
        return f"REVOKED {_told(view.revoked_ms)}"
    if view.expires_ms is not None and view.expires_ms <= now_ms:
        return f"ENDED {_told(view.expires_ms)}"
    account = "good" if view.disabled_ms is None else "its account is DISABLED"
    return account if view.expires_ms is None else f"{account} until {_told(view.expires_ms)}"


def _told(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _instant(text: str) -> int:
    """Milliseconds UTC of a span from now, a date (its end, UTC) or an instant."""
    now = datetime.now(UTC)
    unit = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}.get(text[-1:])
    if unit is not None and text[:-1].isdigit():
        at = now + int(text[:-1]) * unit
    else:
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            fail(
                f"{text!r} is no span (90d, 12h, 30m), no date (2027-01-31) and no instant (2027-01-31T12:00:00+01:00)"
            )
        if "T" not in text and " " not in text:
            at += timedelta(days=1)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
    if at <= now:
        fail(f"{text!r} has passed; to end a key now: tocsin key revoke")
    return int(at.timestamp() * 1000)
