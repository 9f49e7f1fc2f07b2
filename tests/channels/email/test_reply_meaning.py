"""Whose fault a relay's answer is: the recipient's, the message's, or ours."""

import pytest

from channels.contract import Deferred, NotSent, Refused
from channels.email.reply import Reply
from channels.email.reply_meaning import RelayFault, on_data, on_dot, on_rcpt


def reply(text: str) -> Reply:
    return Reply(int(text[:3]), (text[4:].encode(),))


OURS = [
    "553 5.7.1 <g1.b@bounces.example.be>: Sender address rejected: not owned by user gateway",
    "550 5.1.8 <g1.b@bounces.example.be>: Sender address rejected: Domain not found",
    "450 4.1.8 <g1.b@bounces.example.be>: Sender address rejected: Domain not found",
    "504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname",
    "550 5.7.1 Helo/EHLO invalid: your name is not a FQDN",
    "554 5.7.1 <host[192.0.2.1]>: Client host rejected: Access denied",
    "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org",
    "550 5.7.1 Your IP 192.0.2.1 is listed on our blocklist",
    "550 5.7.25 the sending IP has no PTR record",
    "450 4.7.25 Client host rejected: cannot find your reverse hostname",
    "550 5.7.23 SPF validation failed",
    "550 5.7.26 Unauthenticated mail is not accepted",
    "554 5.7.1 <a@example.org>: Relay access denied",
    "550 relay not permitted",
    "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain",
    "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)",
    "530 5.7.0 Must issue a STARTTLS command first",
    "530 5.7.1 Authentication required",
    "550 5.7.1 Please authenticate first",
    "550 5.7.60 SMTP; Client does not have permissions to send as this sender",
    "554 5.2.252 SendAsDenied",
    "550 Sender verify failed",
    "550 5.1.0 Sender rejected",
    "550 5.4.5 Daily sending quota exceeded",
]
THE_RECIPIENTS = [
    "550 5.1.1 <spf@example.org>: Recipient address rejected: User unknown in local recipient table",
    "550 5.1.1 <blacklist@example.org>: no such user here",
    "552 5.2.2 mailbox full",
    "550 5.2.1 The email account that you tried to reach is disabled",
    "550 5.7.1 <a@example.org>: Recipient address rejected: Access denied",
    "553 5.1.3 bad recipient address syntax",
    "554 5.4.14 hop count exceeded",
]


@pytest.mark.parametrize("read", [on_rcpt, on_data, on_dot])
@pytest.mark.parametrize("text", OURS)
def test_what_is_about_us_burns_no_recipient_wherever_it_is_told(read, text: str) -> None:
    verdict = read(reply(text))

    assert isinstance(verdict.outcome, NotSent)
    assert verdict.fault in (RelayFault.MISCONFIGURED, RelayFault.LOST)
    assert "@" not in verdict.detail


@pytest.mark.parametrize("text", THE_RECIPIENTS)
def test_what_is_about_the_recipient_is_the_relays_last_word_on_him(text: str) -> None:
    verdict = on_rcpt(reply(text))

    assert isinstance(verdict.outcome, Refused)
    assert verdict.fault is RelayFault.NONE


@pytest.mark.parametrize("text", ["452 4.2.2 mailbox full", "450 4.2.0 greylisted, try later", "451 4.3.0 try later"])
def test_what_may_pass_is_put_off(text: str) -> None:
    assert isinstance(on_rcpt(reply(text)).outcome, Deferred)
