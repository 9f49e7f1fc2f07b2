"""One connection: sequence numbers, batches, TLS, and a leave taken in order."""

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from channels.contract import Accepted, CarrierState
from channels.sms.segments import prepare
from channels.sms.smpp.pdu import DataSm, DeliverSm, EnquireLink, Unbind
from channels.sms.smpp.session import BindRefused, Session
from channels.sms.smpp.settings import SmppSettings
from channels.sms.smpp.submit import Template
from loadtest.sinks.smsc import SmscOptions, SmscSink

BODY = Template(SmppSettings(host="smsc", system_id="plp", source_address="PLP"), prepare("Alerte"), None).body(
    b"32477123456", 0, 0
)


class Book:
    """An owner that writes down what it is told."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, int, str]] = []
        self.timeouts: list[int] = []
        self.gone: list[int] = []
        self.ends: list[str] = []

    def answered(self, unit: int, status: int, message_id: str, written: float) -> None:
        self.answers.append((unit, status, message_id))

    def unanswered(self, unit: int) -> None:
        self.timeouts.append(unit)

    def lost(self, session: Session[int], units: Sequence[int], reason: str) -> None:
        self.gone += units
        self.ends.append(reason)

    def arrived(self, session: Session[int], pdu: DeliverSm | DataSm) -> None:
        session.acknowledge(pdu, 0)

    def progressed(self) -> None:
        pass


async def a_session(smsc: SmscSink, book: Book, **options: object) -> Session[int]:
    """Bound, with a window of 100 unless told."""
    defaults = {"window": 100, "answer_timeout_s": 2.0, "enquire_link_s": 30.0}
    _, session = await asyncio.get_running_loop().create_connection(
        lambda: Session(book, **{**defaults, **options}), "127.0.0.1", smsc.port
    )
    async with asyncio.timeout(2):
        await session.bind(system_id="plp", password="", system_type="")
    return session


async def test_sequence_numbers_wrap_to_one_and_every_answer_finds_its_unit(until) -> None:
    book = Book()
    async with SmscSink(SmscOptions(receipts="none")) as smsc:
        session = await a_session(smsc, book, first_sequence=0x7FFFFFFF - 3)  # the first one binds

        for unit in range(8):
            session.submit(unit, BODY)
        session.flush()
        await until(lambda: len(book.answers) == 8)

        assert [part.sequence for part in smsc.parts] == [*range(0x7FFFFFFD, 0x80000000), 1, 2, 3, 4, 5]
        assert [unit for unit, _, _ in book.answers] == list(range(8))
        assert [message_id for _, _, message_id in book.answers] == [part.id for part in smsc.parts]
        session.abort("done")


async def test_a_peer_that_reads_slowly_closes_the_window_before_memory_fills(until) -> None:
    book = Book()
    async with SmscSink(SmscOptions(receipts="none", stop_reading_after=1)) as smsc:
        session = await a_session(smsc, book, window=1_000_000, answer_timeout_s=30.0)
        session.submit(0, BODY)
        session.flush()
        await until(lambda: book.answers)

        while session.free and session.in_flight < 500_000:
            for _ in range(1_000):
                session.submit(session.in_flight, BODY)
            session.flush()
            await asyncio.sleep(0)
        full = session.in_flight

        assert session.free == 0
        assert full < 500_000
        smsc.options = SmscOptions(receipts="none")
        smsc.links[0].transport.resume_reading()
        await until(lambda: session.free == 1_000_000, 20.0)
        assert len(book.answers) == full + 1


async def test_nothing_leaves_before_the_flush(until) -> None:
    book = Book()
    async with SmscSink(SmscOptions(receipts="none")) as smsc:
        session = await a_session(smsc, book)

        session.submit(1, BODY)
        await asyncio.sleep(0.05)
        assert smsc.parts == []

        session.flush()
        await until(lambda: book.answers)
        session.abort("done")


async def test_every_unit_is_handed_back_exactly_once_when_the_connection_is_cut(until) -> None:
    book = Book()
    async with SmscSink(SmscOptions(silent=True)) as smsc:
        session = await a_session(smsc, book)
        for unit in range(5):
            session.submit(unit, BODY)
        session.flush()
        await until(lambda: len(smsc.parts) == 5)

        smsc.drop(half=True)
        async with asyncio.timeout(2):
            await session.closed
        session.abort("again")

        assert book.gone == [0, 1, 2, 3, 4]
        assert len(book.ends) == 1
        assert session.free == 0


async def test_late_answers_after_their_timeout_are_ignored(until) -> None:
    book = Book()
    async with SmscSink(SmscOptions(answer_delay_s=0.3, receipts="none")) as smsc:
        session = await a_session(smsc, book, answer_timeout_s=0.1)
        session.submit(1, BODY)
        session.flush()
        await until(lambda: book.timeouts == [1])
        await asyncio.sleep(0.3)

        assert book.answers == []
        assert not session.closed.done()
        assert session.free == 100
        session.abort("done")


async def test_unbinding_is_answered_and_ends_the_connection() -> None:
    book = Book()
    async with SmscSink() as smsc:
        session = await a_session(smsc, book)

        async with asyncio.timeout(2):
            await session.unbind()

        assert smsc.counts["unbinds"] == 1
        assert book.ends == ["unbound"]


async def test_a_peer_that_unbinds_is_answered_and_one_that_asks_for_life_too(until) -> None:
    book = Book()
    async with SmscSink() as smsc:
        session = await a_session(smsc, book)
        smsc.send(EnquireLink(sequence=7))
        await until(lambda: smsc.counts["other"] == 1)

        smsc.send(Unbind(sequence=8))
        async with asyncio.timeout(2):
            assert await session.closed == "the peer unbound"
        await until(lambda: smsc.counts["other"] == 2)


async def test_a_refused_bind_raises_its_status() -> None:
    async with SmscSink(SmscOptions(bind_status=0x0D)) as smsc:
        with pytest.raises(BindRefused) as caught:
            await a_session(smsc, Book())

        assert caught.value.status == 0x0D
        smsc.drop()


async def test_a_connection_that_ends_before_the_bind_is_answered_raises() -> None:
    async with SmscSink(SmscOptions(deaf=True)) as smsc:
        asyncio.get_running_loop().call_later(0.05, smsc.drop)

        with pytest.raises(ConnectionError):
            await a_session(smsc, Book())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a self-signed certificate for 127.0.0.1, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "smsc")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "smsc.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


async def test_over_tls_with_a_private_authority_and_a_certificate_of_our_own(
    open_account, outgoing, certificate: Path
) -> None:
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificate))
    server.load_cert_chain(certificate)
    server.verify_mode = ssl.CERT_REQUIRED
    tls = {"tls": True, "tls_ca_file": str(certificate), "tls_certificate_file": str(certificate)}

    async with SmscSink(ssl=server) as smsc, open_account(smsc.port, **tls) as account:
        outcomes = await account.send(*[outgoing(number=f"+3247{n:07}") for n in range(100)])

        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
        assert len(smsc.messages) == 100


async def test_a_certificate_of_an_unknown_authority_is_refused(open_account, until, certificate: Path) -> None:
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificate)

    async with SmscSink(ssl=server) as smsc, open_account(smsc.port, up=False, tls=True) as account:
        await until(lambda: "certificate" in account.carrier.status().detail.lower())

        assert account.carrier.status().state is CarrierState.DOWN
        assert smsc.counts["binds"] == 0
