"""A relay as a way out: what it is given, over what connections, and at what pace."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import uvloop
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from channels.contract import Accepted, CarrierState, NotSent, Outcome, Outgoing, Refused
from channels.email.carrier import SmtpCarrier
from channels.email.settings import SmtpSettings, Tls
from channels.email.verp import return_path
from loadtest.sinks.smtp import EXTENSIONS, Options, SmtpSink
from tests.channels.conformance import answers, outcomes, running, until
from tests.channels.email.certificates import write_certificate
from tests.channels.email.relay import LETTER, MAIL, SENDER, mails, now, relay, settings
from tests.peers.relay import scripted


async def test_each_person_gets_a_mail_of_his_own() -> None:
    async with SmtpSink() as sink:
        carrier = relay(sink.port, connections=4)
        async with running(carrier):
            told = await outcomes(carrier, mails(100))

    assert len({outcome.text for _, outcome in told if isinstance(outcome, Accepted)}) == 100
    assert sorted(mail.rcpt for mail in sink.messages) == sorted(f"p{number}@example.be" for number in range(100))
    for mail in sink.messages:
        number = mail.rcpt.partition("@")[0][1:]
        assert mail.mail_from == return_path(f"c1.{number}", SENDER.bounce_domain, SENDER.bounce_key)
        assert mail.token == f"c1.{number}"
        assert mail.message_id == f"<c1.{number}@example.be>"
        assert mail.message["To"].addresses[0].addr_spec == mail.rcpt
        assert mail.subject == LETTER.subject
        assert mail.text.startswith(f"Beste Persoon {number},\n\nEr is ingebroken.\n\n.punt\n")


async def test_the_second_copy_of_a_mail_is_the_same_mail_by_another_attempt() -> None:
    """A mailbox knows it by its Message-ID; the return path and the ENVID still say which attempt it was."""
    first, again = (
        msgspec.structs.replace(mails(1)[0], reference=f"c1.0.{attempt}", message="c1.0") for attempt in (1, 2)
    )
    async with SmtpSink() as sink:
        carrier = relay(sink.port)
        async with running(carrier):
            await outcomes(carrier, [first])
            await outcomes(carrier, [again])

    copies = sink.messages
    assert copies[0].raw == copies[1].raw
    assert b"Message-ID: <c1.0@example.be>" in copies[0].raw
    assert [copy.token for copy in copies] == ["c1.0.1", "c1.0.2"]
    assert ["ENVID=" + copy.token in copy.options for copy in copies] == [True, True]


async def test_a_message_name_that_cannot_stand_in_a_header_is_refused() -> None:
    odd = msgspec.structs.replace(mails(1)[0], message="c1>\r\nBcc: x")
    async with SmtpSink() as sink:
        carrier = relay(sink.port)
        async with running(carrier):
            [(_, outcome)] = await outcomes(carrier, [odd])

    assert isinstance(outcome, Refused)
    assert sink.messages == []


async def test_what_the_relay_offers_is_used_and_what_it_does_not_is_left_out() -> None:
    async with SmtpSink() as sink, SmtpSink(Options(extensions=())) as plain:
        for each in (sink, plain):
            carrier = relay(each.port)
            async with running(carrier):
                await outcomes(carrier, mails(1, address="jan+plp{}@example.be"))

    [rich] = sink.messages
    size = len(rich.raw) + rich.raw.count(b"\n.")
    assert rich.options.split() == [
        f"SIZE={size}", "BODY=8BITMIME", "RET=HDRS", "ENVID=c1.0",
        "NOTIFY=FAILURE,DELAY", "ORCPT=rfc822;jan+2Bplp0@example.be",
    ]  # fmt: skip
    [poor] = plain.messages
    assert poor.options == ""
    assert poor.raw.isascii()
    assert poor.text == rich.text


async def test_an_address_with_accents_needs_a_relay_that_takes_them() -> None:
    without = tuple(name for name in EXTENSIONS if name != "SMTPUTF8")
    async with SmtpSink() as sink, SmtpSink(Options(extensions=without)) as old:
        carrier, other = relay(sink.port), relay(old.port)
        async with running(carrier), running(other):
            [(_, taken)] = await outcomes(carrier, mails(1, address="jérôme{}@example.be"))
            [(_, refused)] = await outcomes(other, mails(1, address="jérôme{}@example.be"))

    assert isinstance(taken, Accepted)
    assert sink.messages[0].rcpt == "jérôme0@example.be"
    assert "SMTPUTF8" in sink.messages[0].options
    assert r"ORCPT=utf-8;jérôme0@example.be" in sink.messages[0].options
    assert isinstance(refused, Refused)
    assert "5.6.7" in refused.code
    assert old.messages == []


@pytest.mark.parametrize(
    "address",
    [
        "jan@example.be>\r\nRCPT TO:<x@example.be",
        "jan@example.be\r\nDATA",
        "a b@example.be",
        "jan\0@example.be",
        "\ud800@x.be",
    ],
)
async def test_no_address_breaks_out_of_its_command(address: str) -> None:
    async with SmtpSink() as sink:
        carrier = relay(sink.port)
        async with running(carrier):
            group = [msgspec.structs.replace(mail, address=address) for mail in mails(1)] + mails(1)
            told = dict(await outcomes(carrier, group))

    assert isinstance(told[0], Refused)
    assert isinstance(told[1], Accepted)
    assert [mail.rcpt for mail in sink.messages] == ["p0@example.be"]


async def test_a_mail_that_cannot_be_built_harms_no_other(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        units = 1

    async with SmtpSink() as sink:
        carrier = relay(sink.port)
        broken = msgspec.structs.replace(MAIL, eight_bit=None)
        async with running(carrier):
            good = mails(1)[0]
            group = [msgspec.structs.replace(good, content=content) for content in (Broken(), broken, MAIL)]
            with caplog.at_level(logging.ERROR):
                told = dict(await outcomes(carrier, group))

    assert [type(told[index]) for index in range(3)] == [Refused, Refused, Accepted]
    assert "could not be built" in caplog.text
    assert len(sink.messages) == 1


async def test_a_connection_is_left_after_its_share_of_messages_without_anyone_noticing() -> None:
    async with SmtpSink() as sink:
        carrier = relay(sink.port, max_messages_per_connection=10, queue_timeout_s=5)
        async with running(carrier):
            told = await outcomes(carrier, mails(35))

    assert all(isinstance(outcome, Accepted) for _, outcome in told)
    assert sink.connected == 4
    assert sink.commands.count("QUIT") == 4


async def test_an_idle_connection_is_kept_warm() -> None:
    async with SmtpSink() as sink:
        carrier = relay(sink.port, keep_alive_s=0.05)
        async with running(carrier):
            await until(lambda: sink.commands.count("NOOP") >= 3)
            assert isinstance((await outcomes(carrier, mails(1)))[0][1], Accepted)

    assert sink.connected == 1


async def test_never_more_than_the_contract_leaves_in_any_second_even_after_a_stall() -> None:
    rate = 200
    async with SmtpSink() as sink:
        carrier = relay(sink.port, connections=8, rate_per_s=rate, queue_timeout_s=10)
        async with running(carrier):
            told = await outcomes(carrier, mails(450))  # as if all had come due while the relay stood still

    arrived = [mail.arrived_ns for mail in sink.messages]
    assert all(isinstance(outcome, Accepted) for _, outcome in told)
    for index, at in enumerate(arrived):
        # A tenth is left to a test machine whose sink reads late.
        within = sum(at <= other < at + 900_000_000 for other in arrived[index : index + rate + 20])
        assert within <= rate * 1.01


async def test_a_slow_relay_is_given_no_more_than_it_gets_through() -> None:
    async with SmtpSink(Options(reply_delay_s=0.02)) as sink:
        carrier = relay(sink.port, queue_timeout_s=10)
        async with running(carrier):
            before = carrier.room
            await outcomes(carrier, mails(40))
            assert 1 <= carrier.room < before / 2


async def test_a_mail_that_waits_too_long_for_a_connection_goes_to_another_carrier() -> None:
    async with SmtpSink(Options(silent_every=1)) as sink:
        carrier = relay(sink.port, queue_timeout_s=0.1, answer_timeout_s=2)
        async with running(carrier):
            sending = asyncio.create_task(outcomes(carrier, mails(2)))
            await until(lambda: carrier.status().in_flight == 1)
            assert carrier.room == 0, "no connection answers"
            told = await sending

    assert isinstance(dict(told)[1], NotSent)
    assert len(sink.messages) == 1


async def test_a_connection_that_is_silent_holds_up_its_own_mail_only() -> None:
    async with SmtpSink(Options(silent_every=50)) as sink:
        carrier = relay(sink.port, connections=4, answer_timeout_s=1.5)
        async with running(carrier):
            await until(lambda: sink.connected == 4)
            start = now()
            told: list[tuple[int, Outcome]] = []
            async for pair in answers(carrier, mails(99)):
                told.append(pair)
                if len(told) == 98:
                    assert now() - start < 1.0
    assert sum(isinstance(outcome, Accepted) for _, outcome in told) == 98


async def test_counts_add_up_whatever_the_relay_does() -> None:
    options = Options(
        refuse=(("p.*7@.*", "550 5.1.1 nobody"), ("p.*3@.*", "450 4.2.1 later")),
        close_after_dot_every=37,
        busy_every=41,
    )
    async with SmtpSink(options) as sink:
        carrier = relay(sink.port, connections=4, queue_timeout_s=5)
        async with running(carrier):
            told = dict(await outcomes(carrier, mails(500)))

    taken = {mail.rcpt for mail in sink.messages if mail.answered}
    doubtful = {mail.rcpt for mail in sink.messages if not mail.answered}
    kinds: dict[str, set[str]] = {}
    for index, outcome in told.items():
        kinds.setdefault(type(outcome).__name__, set()).add(f"p{index}@example.be")
    assert len(told) == 500
    assert kinds["Accepted"] == taken
    assert kinds["InDoubt"] == doubtful
    assert len(sink.messages) == len(taken) + len(doubtful), "nobody got it twice"


def test_it_works_on_uvloop_as_on_asyncio() -> None:
    async def scenario() -> None:
        async with SmtpSink() as sink:
            carrier = relay(sink.port, connections=4)
            async with running(carrier):
                due = now() + 0.05
                group = [msgspec.structs.replace(mail, due=(due + 0.001 * k,)) for k, mail in enumerate(mails(100))]
                told = await outcomes(carrier, group)
                assert now() >= due + 0.099
            assert all(isinstance(outcome, Accepted) for _, outcome in told)
            assert len(sink.messages) == 100

    uvloop.run(scenario())


class Users:
    """aiosmtpd with one user, who must come encrypted."""

    def __init__(self) -> None:
        self.logins: list[bytes] = []
        self.rcpts: list[str] = []

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append(data.password)
        return AuthResult(success=(data.login, data.password) == (b"gateway", b"sesame"), handled=False)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.rcpts.extend(envelope.rcpt_tos)
        return "250 2.0.0 taken"


@asynccontextmanager
async def guarded(folder: Path, *, implicit: bool = False) -> AsyncIterator[tuple[int, Users, str]]:
    certificate, key = write_certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    users = Users()

    def door() -> SMTP:
        return SMTP(
            users,
            hostname="relay.invalid",
            tls_context=None if implicit else context,
            require_starttls=not implicit,
            auth_required=True,
            auth_require_tls=not implicit,
            authenticator=users.authenticate,
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(door, "127.0.0.1", 0, ssl=context if implicit else None)
    try:
        yield server.sockets[0].getsockname()[1], users, str(certificate)
    finally:
        server.close()


def on_both_loops(scenario: Callable[[], Coroutine[object, object, None]]) -> None:
    asyncio.run(scenario())
    uvloop.run(scenario())


@pytest.mark.filterwarnings("ignore:Requiring AUTH:UserWarning")  # aiosmtpd does not see TLS that came first
@pytest.mark.parametrize("implicit", [False, True], ids=["STARTTLS", "implicit TLS"])
def test_mails_go_over_verified_tls_with_a_password(tmp_path: Path, implicit: bool) -> None:
    async def scenario() -> None:
        async with guarded(tmp_path, implicit=implicit) as (port, users, ca_file):
            carrier = relay(
                port,
                tls=Tls.VERIFY,
                implicit_tls=implicit,
                ca_file=ca_file,
                username="gateway",
                password="sesame",
                connections=2,
            )
            async with running(carrier):
                told = await outcomes(carrier, mails(20))
            assert all(isinstance(outcome, Accepted) for _, outcome in told)
            assert len(users.rcpts) == 20

    on_both_loops(scenario)


async def test_a_certificate_that_is_not_believed_keeps_everything_home(tmp_path: Path) -> None:
    async with guarded(tmp_path) as (port, users, _):
        carrier = relay(port, tls=Tls.VERIFY, username="gateway", password="sesame")
        await _stays_down(carrier, "TLS failed")
        assert users.logins == []


async def test_encryption_without_verification_is_a_choice(tmp_path: Path) -> None:
    async with guarded(tmp_path) as (port, users, _):
        for tls in (Tls.REQUIRED, Tls.OPPORTUNISTIC):
            carrier = relay(port, tls=tls, username="gateway", password="sesame")
            async with running(carrier):
                assert isinstance((await outcomes(carrier, mails(1)))[0][1], Accepted)
        assert len(users.rcpts) == 2


async def test_a_relay_without_tls_gets_nothing_when_tls_is_required() -> None:
    async with scripted() as server:
        await _stays_down(relay(server.port, tls=Tls.REQUIRED), "no session")
        assert "MAIL" not in server.said


async def test_a_password_is_never_sent_in_the_clear_unless_tls_is_ruled_out() -> None:
    offers = [b"250-relay.invalid\r\n250 AUTH PLAIN\r\n"]
    async with scripted(EHLO=offers) as server:
        carrier = relay(server.port, tls=Tls.OPPORTUNISTIC, username="gateway", password="sesame")
        await _stays_down(carrier, "not sent in the clear", CarrierState.PAUSED)
        assert "AUTH" not in server.said
    async with scripted(EHLO=offers, AUTH=[b"235 2.7.0 welcome\r\n"]) as server:
        carrier = relay(server.port, tls=Tls.NONE, username="gateway", password="sesame")
        async with running(carrier):
            assert "AUTH" in server.said


async def test_a_wrong_password_is_tried_once_and_the_relay_left_alone(tmp_path: Path) -> None:
    async with guarded(tmp_path) as (port, users, ca_file):
        carrier = relay(port, tls=Tls.VERIFY, ca_file=ca_file, username="gateway", password="wrong", connections=8)
        await _stays_down(carrier, "AUTH was refused", CarrierState.PAUSED)
        assert set(users.logins) == {b"wrong"}
        assert len(users.logins) <= 2, "one per mechanism"


async def _stays_down(carrier: SmtpCarrier, why: str, state: CarrierState = CarrierState.DOWN) -> None:
    task = asyncio.create_task(carrier.run(_no_receipts))
    try:
        await until(lambda: why in carrier.status().detail)
        assert carrier.status().state is state
        assert carrier.room == 0
        group: list[Outgoing] = mails(2)
        assert {type(outcome) for _, outcome in await outcomes(carrier, group)} == {NotSent}
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=5)


async def _no_receipts(receipts: object) -> None:
    raise AssertionError("an SMTP carrier has none")


def test_a_password_is_in_no_representation() -> None:
    assert "sesame" not in repr(settings(25, password="sesame"))


def test_settings_with_an_unknown_or_impossible_key_are_refused() -> None:
    good = b'{"type": "smtp", "host": "relay.example.be"}'
    assert msgspec.json.decode(good, type=SmtpSettings).tls is Tls.VERIFY
    for bad in (b'"hots": 1', b'"port": 0', b'"connections": 0', b'"tls": "maybe"', b'"rate_per_s": 0'):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(good[:-1] + b", " + bad + b"}", type=SmtpSettings)


@pytest.mark.parametrize("pieces", [True, False], ids=["slow", "quick"])
async def test_a_cancellation_at_whatever_instant_of_connecting_ends_it(pieces: bool) -> None:
    """A server that cannot start ends its relays while they connect: one that went on would keep it alive for ever."""
    greeting = (b"220 relay", b".invalid\r\n") if pieces else b"220 relay.invalid\r\n"

    async def kept(_: object) -> None:
        return

    async with scripted(GREETING=[greeting]) as server:
        for step in range(120):
            task = asyncio.create_task(relay(server.port, connections=4).run(kept))
            if step < 20:
                for _ in range(step):
                    await asyncio.sleep(0)
            else:
                await asyncio.sleep(step * 0.0003)
            task.cancel()
            done, _ = await asyncio.wait([task], timeout=5)
            assert done
            assert task.cancelled()
