"""What a relay may do wrong, and what each mail is told: never doubled by us, never wrongly given up."""

import pytest

from channels.contract import (
    Accepted,
    CarrierState,
    Deferred,
    InDoubt,
    NotSent,
    Outcome,
    Refused,
    Throttled,
)
from loadtest.sinks.smtp import Options, SmtpSink
from tests.channels.conformance import outcomes, running, until
from tests.channels.email.relay import mails, relay
from tests.peers.relay import CLOSE, SILENCE, scripted

both = pytest.mark.parametrize("pipelining", [True, False], ids=["pipelined", "lock-step"])


async def answers(server_port: int, count: int = 1, **changed: object) -> list[Outcome]:
    carrier = relay(server_port, **changed)
    async with running(carrier):
        return [outcome for _, outcome in sorted(await outcomes(carrier, mails(count)), key=lambda pair: pair[0])]


@both
async def test_a_mail_is_accepted_by_the_reply_to_its_final_dot(pipelining: bool) -> None:
    async with scripted(pipelining=pipelining) as server:
        assert await answers(server.port) == [Accepted(text="queued as 7")]
        assert server.said[:5] == ["EHLO", "MAIL", "RCPT", "DATA", "BODY"]
        assert len(server.bodies) == 1


@both
async def test_multi_line_and_split_replies_are_whole_replies(pipelining: bool) -> None:
    async with scripted(
        pipelining=pipelining,
        MAIL=[(b"25", b"0-2.1.0 first\r", b"\n250-", b"2.1.0\r\n250 2.1.0 last\r\n")],
        BODY=[(b"250-2.0.0 taken\r\n", b"250 2.0.0 queued", b" as 9\r\n")],
    ) as server:
        assert await answers(server.port) == [Accepted(text="taken queued as 9")]


@both
async def test_a_refused_recipient_is_final_and_the_next_mail_goes_on(pipelining: bool) -> None:
    async with scripted(
        pipelining=pipelining,
        RCPT=[b"550 5.1.1 no such user\r\n", b"250 ok\r\n"],
        DATA=[b"554 5.5.1 no valid recipients\r\n", b"354 go on\r\n"] if pipelining else [b"354 go on\r\n"],
    ) as server:
        assert await answers(server.port, 2) == [Refused("550 5.1.1", "no such user"), Accepted(text="queued as 7")]
        assert server.said.count("RSET") == 1
        assert server.connections == 1


async def test_a_relay_that_wants_a_body_for_nobody_gets_an_empty_one() -> None:
    async with scripted(
        RCPT=[b"550 5.1.1 no such user\r\n", b"250 ok\r\n"],
        BODY=[b"554 5.5.1 no valid recipients\r\n", b"250 ok\r\n"],
    ) as server:
        told = await answers(server.port, 2)

        assert [type(outcome) for outcome in told] == [Refused, Accepted]
        assert server.bodies[0] == b""
        assert b"Inbraak" in server.bodies[1]
        assert server.connections == 1


@both
async def test_a_recipient_put_off_is_deferred(pipelining: bool) -> None:
    async with scripted(
        pipelining=pipelining, RCPT=[b"450 4.2.0 greylisted\r\n"], DATA=[b"503 5.5.1 need RCPT\r\n"]
    ) as server:
        assert await answers(server.port) == [Deferred("450 4.2.0", "greylisted")]


@both
async def test_a_content_put_off_or_refused_is_told_as_such(pipelining: bool) -> None:
    async with scripted(
        pipelining=pipelining, BODY=[b"451 4.3.0 try later\r\n", b"554 5.7.1 spam\r\n", b"250 ok\r\n"]
    ) as server:
        told = await answers(server.port, 3)

        assert told == [Deferred("451 4.3.0", "try later"), Refused("554 5.7.1", "spam"), Accepted(text="ok")]


@both
@pytest.mark.parametrize(
    "reply", [b"421 4.7.0 too fast\r\n", b"454 4.7.0 later\r\n", b"450 4.7.1 rate\r\n", b"452 full\r\n"]
)
async def test_a_relay_that_puts_off_mail_itself_is_given_a_rest(pipelining: bool, reply: bytes) -> None:
    async with scripted(pipelining=pipelining, MAIL=[reply], RCPT=[b"503 no\r\n"], DATA=[b"503 no\r\n"]) as server:
        carrier = relay(server.port)
        async with running(carrier):
            told = dict(await outcomes(carrier, mails(3)))

            assert all(isinstance(outcome, Throttled) for outcome in told.values())
            assert 0 < told[0].pause_s <= 1
            assert server.said.count("MAIL") == 1
            assert carrier.status().state is CarrierState.PAUSED
            assert carrier.room == 0


async def test_many_connections_told_to_slow_down_at_once_are_one_rest() -> None:
    options = Options(throttle_per_s=1, reply_delay_s=0.05)
    async with SmtpSink(options) as sink:
        carrier = relay(sink.port, connections=8)
        async with running(carrier):
            await until(lambda: sink.connected == 8)
            told = await outcomes(carrier, mails(30))

    pauses = [outcome.pause_s for _, outcome in told if isinstance(outcome, Throttled)]
    assert len(pauses) >= 28
    assert max(pauses) <= 1.0


async def test_after_a_rest_the_relay_is_used_again() -> None:
    async with scripted(MAIL=[b"451 4.7.0 slow\r\n", b"250 ok\r\n"], RCPT=[b"503 no\r\n", b"250 ok\r\n"],
                        DATA=[b"503 no\r\n", b"354 go on\r\n"]) as server:  # fmt: skip
        carrier = relay(server.port, backoff_max_s=0.2)
        async with running(carrier):
            assert isinstance((await outcomes(carrier, mails(1)))[0][1], Throttled)
            await until(lambda: carrier.room)
            assert isinstance((await outcomes(carrier, mails(1)))[0][1], Accepted)
            assert carrier.status().state is CarrierState.UP


async def test_many_recipients_put_off_in_a_row_are_the_relay_asking_for_a_rest() -> None:
    async with scripted(RCPT=[b"451 4.3.0 busy\r\n"], DATA=[b"503 no\r\n"]) as server:
        told = await answers(server.port, 30)

        assert [type(outcome) for outcome in told[:9]] == [Deferred] * 9
        assert {type(outcome) for outcome in told[9:]} == {Throttled}
        assert server.said.count("RCPT") == 10


@both
@pytest.mark.parametrize(
    "script",
    [
        {"MAIL": [b"550 5.7.1 sender not allowed\r\n"], "RCPT": [b"503 no\r\n"], "DATA": [b"503 no\r\n"]},
        {"RCPT": [b"554 5.7.1 <x>: Relay access denied\r\n"], "DATA": [b"503 no\r\n"]},
        {"RCPT": [b"530 5.7.0 Authentication required\r\n"], "DATA": [b"503 no\r\n"]},
    ],
)
async def test_a_relay_set_up_wrongly_burns_no_recipient_and_is_paused(
    pipelining: bool, script: dict[str, list[bytes]]
) -> None:
    async with scripted(pipelining=pipelining, **script) as server:
        carrier = relay(server.port)
        async with running(carrier):
            told = [outcome for _, outcome in await outcomes(carrier, mails(20))]

            assert {type(outcome) for outcome in told} == {NotSent}
            assert server.said.count("MAIL") == 1
            assert carrier.status().state is CarrierState.PAUSED
            assert "refuses us" in carrier.status().detail
            assert "@" not in carrier.status().detail


async def test_a_message_too_big_for_the_relay_is_refused_alone() -> None:
    async with scripted(MAIL=[b"552 5.3.4 too big\r\n", b"250 ok\r\n"], RCPT=[b"503 no\r\n", b"250 ok\r\n"],
                        DATA=[b"503 no\r\n", b"354 go on\r\n"]) as server:  # fmt: skip
        assert [type(outcome) for outcome in await answers(server.port, 2)] == [Refused, Accepted]


@both
@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
async def test_a_connection_lost_before_the_body_means_not_sent(pipelining: bool, step: str) -> None:
    async with scripted(pipelining=pipelining, **{step: [CLOSE]}) as server:
        assert [type(outcome) for outcome in await answers(server.port)] == [NotSent]
        assert server.bodies == []


@both
async def test_a_connection_lost_after_the_body_means_in_doubt(pipelining: bool) -> None:
    async with scripted(pipelining=pipelining, BODY=[CLOSE]) as server:
        assert [type(outcome) for outcome in await answers(server.port)] == [InDoubt]
        assert len(server.bodies) == 1


@both
@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
async def test_silence_before_the_body_means_not_sent(pipelining: bool, step: str) -> None:
    steps = ["MAIL", "RCPT", "DATA"]
    silent = {verb: [SILENCE] for verb in steps[steps.index(step) :]}
    async with scripted(pipelining=pipelining, **silent) as server:
        told = await answers(server.port)

        assert [type(outcome) for outcome in told] == [NotSent]
        assert "within 0.4 s" in told[0].reason  # type: ignore[union-attr]


async def test_silence_after_the_final_dot_means_in_doubt_and_the_next_mail_has_a_new_connection() -> None:
    async with scripted(BODY=[SILENCE, b"250 ok\r\n"]) as server:
        carrier = relay(server.port)
        async with running(carrier):
            assert isinstance((await outcomes(carrier, mails(1)))[0][1], InDoubt)
            await until(lambda: carrier.room)
            assert isinstance((await outcomes(carrier, mails(1)))[0][1], Accepted)
        assert server.connections == 2


@both
@pytest.mark.parametrize(
    ("step", "expected"), [("RCPT", NotSent), ("DATA", NotSent), ("BODY", Deferred)], ids=["RCPT", "DATA", "dot"]
)
async def test_a_relay_that_leaves_midway_has_not_taken_the_mail(pipelining: bool, step: str, expected: type) -> None:
    async with scripted(
        pipelining=pipelining, **{step: [(b"421 4.3.2 going down\r\n", CLOSE), b"250 ok\r\n"]}
    ) as server:
        assert [type(outcome) for outcome in await answers(server.port)] == [expected]


@pytest.mark.parametrize(
    "noise", [b"nonsense\r\n", b"250 x\r\n" * 3, b"999 x\r\n", b"x" * 40_000, b"250-a\r\n251 b\r\n", b"250 half a rep"]
)
async def test_a_relay_that_speaks_out_of_turn_is_hung_up_on(noise: bytes) -> None:
    async with scripted(BODY=[b"250 ok\r\n" + noise, b"250 ok\r\n"]) as server:
        carrier = relay(server.port)
        async with running(carrier):
            assert isinstance((await outcomes(carrier, mails(1)))[0][1], Accepted)
            await until(lambda: server.connections == 2)
            await until(lambda: carrier.room)
            assert isinstance((await outcomes(carrier, mails(1)))[0][1], Accepted)


async def test_a_relay_that_has_lost_count_of_transactions_gets_a_new_connection() -> None:
    async with scripted(MAIL=[b"503 5.5.1 nested MAIL\r\n", b"250 ok\r\n"]) as server:
        carrier = relay(server.port)
        async with running(carrier):
            assert isinstance((await outcomes(carrier, mails(1)))[0][1], NotSent)
            await until(lambda: carrier.room)
            assert isinstance((await outcomes(carrier, mails(1)))[0][1], Accepted)
        assert server.connections == 2
        assert len(server.bodies) == 1


async def test_one_reply_too_many_never_shifts_the_replies_of_the_next_mail() -> None:
    stray = b"250 2.1.5 ok\r\n"
    async with scripted(MAIL=[b"250 ok\r\n" + stray], RCPT=[b"550 5.1.1 nobody\r\n"], DATA=[b"554 no\r\n"]) as server:
        assert not any(isinstance(outcome, Accepted) for outcome in await answers(server.port, 1))
        assert server.bodies == []


async def test_what_is_not_smtp_in_the_middle_of_a_mail_is_never_an_acceptance() -> None:
    async with scripted(BODY=[b"HTTP/1.1 200 OK\r\n"]) as server:
        assert [type(outcome) for outcome in await answers(server.port)] == [InDoubt]
    async with scripted(BODY=[b"354 what\r\n"]) as server:
        assert [type(outcome) for outcome in await answers(server.port)] == [InDoubt]


async def test_a_relay_that_is_away_costs_nothing_and_is_found_again() -> None:
    async with scripted(GREETING=[b"554 5.3.2 closed today\r\n", (b"220 open\r\n",)]) as server:
        carrier = relay(server.port)
        async with running(carrier):
            assert isinstance((await outcomes(carrier, mails(1)))[0][1], Accepted)
        assert server.connections == 2
