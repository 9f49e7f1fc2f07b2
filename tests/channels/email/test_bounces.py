"""What a bounce says of a message, and what it does not say."""

import base64
import quopri
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.contract import Receipt, ReceiptState
from channels.email.bounces import Ignored, read_bounce

ARRIVED_MS = 1_764_000_000_000  # 2025-11-24 16:00 UTC

POSTFIX = """\
From: MAILER-DAEMON@relay.example.invalid (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: bounce+g1.c7.42.aaaaaaaaaaaaaaaa@bounces.example.be
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
\tboundary="B44"
Date: Mon, 24 Nov 2025 16:59:00 +0100 (CET)

--B44
Content-Type: text/plain; charset=us-ascii

I'm sorry to have to inform you that your message could not be delivered.

--B44
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; relay.example.invalid
Original-Envelope-Id: g1.c7.42

Final-Recipient: rfc822; jan@example.be
Original-Recipient: rfc822;jan+2Bplp@example.be
Action: {action}
Status: {status}
Diagnostic-Code: smtp; 550 5.1.1 <jan@example.be>: User unknown

--B44
Content-Type: text/rfc822-headers

Subject: Inbraak
Auto-Submitted: auto-generated

--B44--
"""
QMAIL = """\
From: MAILER-DAEMON@old.example
Subject: failure notice
Date: 24 Nov 2025 15:00:00 -0000

Hi. This is the qmail-send program at old.example.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<jan@example.be>:
Remote host said: 550 5.1.1 no such user
"""


def read(text: str | bytes) -> Receipt | Ignored:
    raw = text if isinstance(text, bytes) else text.replace("\n", "\r\n").encode()
    return read_bounce(raw, reference="g1.c7.42", carrier="relay", arrived_ms=ARRIVED_MS)


@pytest.mark.parametrize(
    ("action", "status", "state"),
    [
        ("failed", "5.1.1", ReceiptState.FAILED),
        ("Failed", "5.2.2", ReceiptState.FAILED),
        ("failed", "4.4.7", ReceiptState.FAILED),
        ("delayed", "4.4.1", ReceiptState.PENDING),
        ("relayed", "2.0.0", ReceiptState.PENDING),
        ("expanded", "2.0.0", ReceiptState.PENDING),
        ("delivered", "2.0.0", ReceiptState.DELIVERED),
    ],
)
def test_the_action_of_a_report_is_the_fate_of_the_message(action: str, status: str, state: ReceiptState) -> None:
    receipt = read(POSTFIX.format(action=action, status=status))

    assert isinstance(receipt, Receipt)
    assert (receipt.state, receipt.code) == (state, status)
    assert (receipt.carrier, receipt.ref, receipt.echoed) == ("relay", "g1.c7.42", True)
    assert receipt.destination == "jan+plp@example.be"
    assert receipt.text == "550 5.1.1 <jan@example.be>: User unknown"
    assert receipt.at_ms == ARRIVED_MS - 60_000
    assert "Original-Envelope-Id" in receipt.raw


def test_a_report_of_several_recipients_tells_the_worst() -> None:
    block = "Final-Recipient: rfc822; jan@example.be\n"
    other = "Final-Recipient: rfc822; alias@example.be\nAction: delivered\nStatus: 2.0.0\n\n" + block

    receipt = read(POSTFIX.format(action="failed", status="5.1.1").replace(block, other))

    assert isinstance(receipt, Receipt)
    assert receipt.state is ReceiptState.FAILED


def test_a_report_without_a_known_action_says_nothing() -> None:
    assert isinstance(read(POSTFIX.format(action="pondered", status="2.0.0")), Ignored)


@pytest.mark.parametrize(
    "date", ["", "yesterday", "Mon, 24 Nov 2035 16:00:00 +0000", "Mon, 24 Nov 2015 16:00:00 +0000", "1 Jan 99999 0:0"]
)
def test_a_time_that_cannot_be_true_is_replaced_by_that_of_arrival(date: str) -> None:
    text = POSTFIX.format(action="failed", status="5.1.1").replace("Mon, 24 Nov 2025 16:59:00 +0100 (CET)", date)

    receipt = read(text)

    assert isinstance(receipt, Receipt)
    assert receipt.at_ms == ARRIVED_MS


def test_a_bounce_from_before_the_standard_is_final_when_it_says_so() -> None:
    receipt = read(QMAIL)

    assert isinstance(receipt, Receipt)
    assert (receipt.state, receipt.code, receipt.text) == (ReceiptState.FAILED, "5.1.1", "failure notice")


@pytest.mark.parametrize(
    "text",
    [
        QMAIL.replace("failure notice", "Warning: delivery delayed"),
        QMAIL.replace("550 5.1.1", "451 4.2.0"),
        QMAIL.replace("failure notice", "news of your mail").replace("Hi. This is the", "This is"),
    ],
)
def test_a_bounce_that_does_not_give_up_clearly_stays_open(text: str) -> None:
    receipt = read(text)

    assert isinstance(receipt, Receipt)
    assert receipt.state is ReceiptState.PENDING


@pytest.mark.parametrize(
    "text",
    [
        "From: jan@example.be\nSubject: Out of office\nAuto-Submitted: auto-replied\n\nBack on 5.5.2026, call 550\n",
        "From: jan@example.be\nSubject: Afwezig\nX-Autoreply: yes\n\nniet afgeleverd\n",
        "From: jan@example.be\nSubject: Re: Inbraak\nIn-Reply-To: <x@y>\n\nI saw nothing\n",
        "From: jan@example.be\nSubject: buy now\n\n5.1.1\n",
        "\r\n",
        "",
    ],
)
def test_what_is_no_bounce_changes_nothing(text: str) -> None:
    assert isinstance(read(text), Ignored)


def test_only_a_report_can_say_delivered() -> None:
    text = "From: MAILER-DAEMON@x.example\nSubject: delivered\n\nAction: delivered\nStatus: 2.0.0\n"

    receipt = read(text)

    assert isinstance(receipt, Receipt)
    assert receipt.state is ReceiptState.PENDING


@given(st.one_of(st.binary(max_size=500), st.binary(max_size=200).map(POSTFIX.encode().__add__)))
def test_no_bytes_make_the_reader_fail(raw: bytes) -> None:
    told = read(raw)

    assert isinstance(told, Ignored) or len(told.raw) <= 1000


@given(st.integers(0, 2000), st.binary(max_size=30))
def test_no_damage_to_a_report_makes_the_reader_fail(at: int, noise: bytes) -> None:
    raw = POSTFIX.format(action="failed", status="5.1.1").replace("\n", "\r\n").encode()

    read(raw[:at] + noise + raw[at + len(noise) :])


def test_a_mail_nested_without_end_is_left_for_a_person() -> None:
    raw = b"".join(
        b'Content-Type: multipart/report; boundary="b%d"\r\n\r\n--b%d\r\n' % (depth, depth) for depth in range(3000)
    )

    told = read(raw)

    assert isinstance(told, Ignored) or told.state is ReceiptState.PENDING


def test_a_report_in_several_charsets_is_read() -> None:
    message = EmailMessage()
    message["Subject"] = "Étienne: non remis – élève"
    message["From"] = "Postmaster <postmaster@example.de>"
    message.set_content("Der Empfänger ist unbekannt: 550 5.1.10")

    receipt = read(message.as_bytes())

    assert isinstance(receipt, Receipt)
    assert receipt.state is ReceiptState.FAILED


# ---- spellings of reports ------------------------------------------------------------------------------------------


def changed(old: str, new: str) -> str:
    text = POSTFIX.format(action="failed", status="5.1.1")
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(
    "text",
    [
        changed("Action: failed", "Action: failed (permanent failure)"),
        changed("Action: failed", "ACTION: FAILED"),
        changed("Action: failed", "Action:\n\tFailed"),
        changed("Action: failed", "Action: failure"),
        changed("Action: failed\n", ""),
        changed("Status: 5.1.1", "Status: 5.1.1 (Bad destination mailbox address)"),
        changed("Final-Recipient: rfc822; jan@example.be", "Final-Recipient: jan@example.be"),
        changed("Original-Recipient: rfc822;", "Original-Recipient: RFC822; "),
        changed("multipart/report; report-type=delivery-status;", "Multipart/Report; Report-Type=Delivery-Status;"),
        changed("multipart/report; report-type=delivery-status;", "multipart/mixed;"),
        changed("Content-Type: message/delivery-status", "Content-Type: Message/Delivery-Status"),
        changed("Content-Type: message/delivery-status", "Content-Type: message/global-delivery-status"),
        changed("Content-Type: message/delivery-status", 'Content-Type: text/plain; name="details.txt"'),
    ],
)
def test_a_report_is_read_in_every_spelling(text: str) -> None:
    receipt = read(text)

    assert isinstance(receipt, Receipt)
    assert (receipt.state, receipt.code) == (ReceiptState.FAILED, "5.1.1")


@pytest.mark.parametrize("coding", ["base64", "quoted-printable"])
def test_a_report_that_is_encoded_against_the_rules_is_read(coding: str) -> None:
    head, _, rest = POSTFIX.format(action="failed", status="5.1.1").partition(
        "Content-Type: message/delivery-status\n\n"
    )
    block, boundary, tail = rest.partition("\n--B44")
    body = (
        base64.b64encode(block.encode()).decode()
        if coding == "base64"
        else quopri.encodestring(block.encode()).decode()
    )
    text = (
        f"{head}Content-Type: message/delivery-status\nContent-Transfer-Encoding: {coding}\n\n{body}\n{boundary}{tail}"
    )

    receipt = read(text)

    assert isinstance(receipt, Receipt)
    assert (receipt.state, receipt.code) == (ReceiptState.FAILED, "5.1.1")


def test_a_report_within_a_quoted_message_is_not_about_ours() -> None:
    """Somebody answers, and sends along a bounce that he got himself."""
    inner = POSTFIX.format(action="failed", status="5.1.1")
    text = (
        "From: Jan <jan@example.be>\nSubject: see this\nMIME-Version: 1.0\n"
        "Content-Type: multipart/mixed; boundary=Q\n\n"
        f"--Q\nContent-Type: text/plain\n\nlook\n--Q\nContent-Type: message/rfc822\n\n{inner}\n--Q--\n"
    )

    assert isinstance(read(text), Ignored)


# ---- what may be ours ------------------------------------------------------------------------------------------------

OURS = "Post niet afgeleverd: valse berichten over pakjes"


@pytest.mark.parametrize(
    "subject",
    [f"Afwezig: {OURS}", f"Automatisch antwoord: {OURS}", f"Out of Office: {OURS}", f"Automatische Antwort: {OURS}",
     f"Réponse automatique : {OURS}", f"Abwesenheitsnotiz: {OURS}", f"Re: {OURS}", OURS],
)  # fmt: skip
@pytest.mark.parametrize("author", ["Jan <jan@example.be>", "secretariat@example.be"])
def test_a_reply_that_quotes_our_subject_fails_nobody(subject: str, author: str) -> None:
    """Without any of the headers of RFC 3834; and the number is a telephone's."""
    text = (
        f"From: {author}\nSubject: {subject}\n\nIk ben er niet. Bel 02 555 12 12, of 0550 51.1.\n\n> 550 5.1.1 {OURS}\n"
    )

    told = read(text)

    assert isinstance(told, Ignored) or told.state is ReceiptState.PENDING


def test_a_mailer_that_quotes_ours_says_nothing_by_the_quotation() -> None:
    body = "Hartelijk dank.\n\n-----Original Message-----\n550 5.1.1 weg\n"
    text = f"From: postmaster@example.be\nSubject: {OURS}\n\n{body}"

    told = read(text)

    assert isinstance(told, Receipt)
    assert told.state is ReceiptState.PENDING


def test_what_our_subject_says_does_not_undo_what_a_mailer_says() -> None:
    body = "jan@example.be\n550 5.1.1 User unknown\n"
    text = f"From: postmaster@example.be\nSubject: Undeliverable: Warning: smoke\n\n{body}"

    told = read(text)

    assert isinstance(told, Receipt)
    assert (told.state, told.code) == (ReceiptState.FAILED, "5.1.1")


def test_exims_bounce_is_known_by_its_header_and_its_warning_by_its_words() -> None:
    bounce = (
        "From: Mail Delivery System <Mailer-Daemon@mx.example>\nX-Failed-Recipients: jan@example.be\n"
        "Auto-Submitted: auto-replied\nSubject: Mail delivery failed: returning message to sender\n\n"
        "A message that you sent could not be delivered to one or more of its recipients. This is a permanent error.\n"
    )
    warning = (
        "From: Mail Delivery System <Mailer-Daemon@mx.example>\nSubject: Warning: message 1abc delayed 24 hours\n\n"
        "No action is required on your part. Delivery attempts will continue for some time.\n"
    )

    told, put_off = read(bounce), read(warning)

    assert isinstance(told, Receipt)
    assert told.state is ReceiptState.FAILED
    assert isinstance(put_off, Receipt)
    assert put_off.state is ReceiptState.PENDING


# ---- mails made to break it --------------------------------------------------------------------------------------


NESTED = "".join(f"Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n" for n in range(3_000))


@pytest.mark.parametrize(
    "text",
    [
        "From: postmaster@x\nSubject: " + "=?a?q?x" * 60_000 + "\n\nx",
        "From: postmaster@x\nContent-Type: " + 'text/plain;a="b' * 5_000 + "\n\nx",
        f"From: postmaster@x\n{NESTED}",
        POSTFIX.format(action="failed " + "(" * 50_000, status="5.1.1"),
        POSTFIX.format(action="failed", status="5." * 50_000),
    ],
)  # fmt: skip
@pytest.mark.timeout(5)
def test_a_mail_made_to_break_the_reader_is_read_in_bounded_time(text: str) -> None:
    read(text)


@pytest.mark.parametrize("subject", [b"=?ut\xee-8?Q?x?=", b"=?utf\x82-8?B?x?=", b"=?x" * 300])
def test_a_subject_in_no_charset_is_read_as_it_stands(subject: bytes) -> None:
    raw = b"From: MAILER-DAEMON@x\r\nSubject: " + subject + b"\r\n\r\nuser unknown\r\n"

    read_bounce(raw, reference="r", carrier="a", arrived_ms=1)
