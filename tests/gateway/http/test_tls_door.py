"""The door speaks TLS by itself: no stranger holds a place by a handshake, and a renewal cuts nobody off."""

import asyncio
import contextlib
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.server_certificate import RenewedCertificate
from gateway.settings import ServerSettings
from store.engine.database import open_database
from tests.channels.loops import on_both_loops
from tests.gateway.http.doorway import Doorway, doorway
from tests.gateway.http.server_certificates import HOST, NOW_MS, Files, files

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def tls_door(folder: Path, migrated: Path, *, head_timeout_s: float = 10.0, **more: object) -> AsyncIterator[
    tuple[Doorway, RenewedCertificate]
]:  # fmt: skip
    paths = files(folder)
    certificate = RenewedCertificate(str(paths.certificate), str(paths.key))
    server = ServerSettings(
        host="127.0.0.1", port=0, head_timeout_s=head_timeout_s, public_url=f"https://{HOST}", **more  # type: ignore[arg-type]
    )  # fmt: skip
    shutil.copy(migrated, folder / "tocsin.db")
    async with (
        open_database(f"sqlite+aiosqlite:///{folder}/tocsin.db") as database,
        doorway(database, server=server, certificate=certificate) as door,
    ):
        yield door, certificate


def trusting(paths: Files) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(paths.certificate))


def paths_in(folder: Path) -> Files:
    return Files(folder / "fullchain.pem", folder / "privkey.pem")


async def connect(door: Doorway, context: ssl.SSLContext) -> Pair:
    return await asyncio.open_connection("127.0.0.1", door.port, ssl=context, server_hostname=HOST)


async def asked(pair: Pair, request: bytes = HEALTH) -> bytes:
    """The head of the answer."""
    reader, writer = pair
    writer.write(request)
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
    return head


async def closed(reader: asyncio.StreamReader) -> bytes:
    """What came until the other end closed, in order or not."""
    came = b""
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionError):
            while octets := await reader.read(65_536):
                came += octets
    return came


def serial(pair: Pair) -> bytes:
    found = pair[1].get_extra_info("ssl_object").getpeercert(binary_form=True)
    assert isinstance(found, bytes)
    return found


async def left(*pairs: Pair) -> None:
    for _, writer in pairs:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@on_both_loops
async def test_it_answers_over_tls_and_tells_browsers_to_come_back_so(tmp_path: Path, migrated_sqlite: Path):
    async with tls_door(tmp_path, migrated_sqlite) as (door, _):
        pair = await connect(door, trusting(paths_in(tmp_path)))
        version = pair[1].get_extra_info("ssl_object").version()
        head = await asked(pair)
        again = await asked(pair)
        await left(pair)

    assert version == "TLSv1.3"
    assert head.startswith(b"HTTP/1.1 200")
    assert again.startswith(b"HTTP/1.1 200")
    assert b"Strict-Transport-Security: max-age=31536000\r\n" in head


@on_both_loops
async def test_of_what_came_with_the_end_of_the_handshake_nothing_is_lost(tmp_path: Path, migrated_sqlite: Path):
    """A client may write its request and its last words of the handshake at once, and many clients come at once."""
    async with tls_door(tmp_path, migrated_sqlite) as (door, _):
        context = trusting(paths_in(tmp_path))

        async def one() -> bytes:
            pair = await connect(door, context)
            try:
                return (await asked(pair))[:12]
            finally:
                await left(pair)

        answers = await asyncio.gather(*(one() for _ in range(40)))

    assert answers == [b"HTTP/1.1 200"] * 40


@on_both_loops
@pytest.mark.filterwarnings("ignore:.*TLSv1:DeprecationWarning")
async def test_a_client_that_knows_no_more_than_tls_1_1_is_refused(tmp_path: Path, migrated_sqlite: Path):
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    async with tls_door(tmp_path, migrated_sqlite) as (door, _):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await connect(door, old)


def client_hello() -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=HOST).do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("said", ["nothing", "half a greeting", "a greeting and no more"])
@on_both_loops
async def test_who_does_not_finish_the_handshake_is_cut_off(tmp_path: Path, migrated_sqlite: Path, said: str):
    hello = client_hello()
    octets = {"nothing": b"", "half a greeting": hello[: len(hello) // 2], "a greeting and no more": hello}[said]
    async with tls_door(tmp_path, migrated_sqlite, head_timeout_s=0.3) as (door, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(octets)
        await closed(reader)
        async with asyncio.timeout(10):
            while door.door.visitors.inside:  # noqa: ASYNC110 - the visitors ring no bell
                await asyncio.sleep(0.01)
        await left((reader, writer))


@on_both_loops
async def test_plain_http_is_no_handshake(tmp_path: Path, migrated_sqlite: Path):
    async with tls_door(tmp_path, migrated_sqlite) as (door, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(HEALTH)
        came = await closed(reader)
        await left((reader, writer))

    assert b"HTTP" not in came


@on_both_loops
async def test_those_who_have_not_shaken_hands_are_counted_and_give_way(tmp_path: Path, migrated_sqlite: Path):
    async with tls_door(tmp_path, migrated_sqlite, head_timeout_s=60) as (door, _):
        door.door.visitors.most = 10
        held = [await asyncio.open_connection("127.0.0.1", door.port) for _ in range(40)]
        pair = await connect(door, trusting(paths_in(tmp_path)))
        head = await asked(pair)
        inside = door.door.visitors.inside
        gone = [await closed(reader) for reader, _ in held[:30]]
        await left(pair, *held)

    assert head.startswith(b"HTTP/1.1 200")
    assert inside <= 10
    assert gone == [b""] * 30


@on_both_loops
async def test_of_one_address_no_more_than_may_be_shake_hands_at_once(tmp_path: Path, migrated_sqlite: Path):
    async with tls_door(tmp_path, migrated_sqlite, head_timeout_s=60, max_connections_per_address=3) as (door, _):
        held = [await asyncio.open_connection("127.0.0.1", door.port) for _ in range(8)]
        gone = [await closed(reader) for reader, _ in held[:5]]
        inside = door.door.visitors.inside
        await left(*held)

    assert (gone, inside) == ([b""] * 5, 3)


@on_both_loops
async def test_a_door_that_closes_does_not_wait_for_handshakes(tmp_path: Path, migrated_sqlite: Path):
    async with asyncio.timeout(20):
        async with tls_door(tmp_path, migrated_sqlite, head_timeout_s=60) as (door, _):
            held = await asyncio.open_connection("127.0.0.1", door.port)
            async with asyncio.timeout(10):
                while not door.door.visitors.inside:  # noqa: ASYNC110 - the visitors ring no bell
                    await asyncio.sleep(0.01)
        assert await closed(held[0]) == b""
        await left(held)


@on_both_loops
async def test_a_renewed_certificate_is_for_new_handshakes_and_old_connections_stay(
    tmp_path: Path, migrated_sqlite: Path
):
    async with tls_door(tmp_path, migrated_sqlite) as (door, certificate):
        before = trusting(paths_in(tmp_path))
        old = await connect(door, before)
        await asked(old)
        renewed = files(tmp_path)
        certificate.look(NOW_MS)
        new = await connect(door, trusting(renewed))
        answers = [await asked(new), await asked(old)]
        serials = {serial(old), serial(new)}
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(door, before)
        await left(old, new)

    assert [answer[:12] for answer in answers] == [b"HTTP/1.1 200"] * 2
    assert len(serials) == 2


@on_both_loops
async def test_after_a_broken_renewal_the_old_certificate_goes_on(
    tmp_path: Path, migrated_sqlite: Path, caplog: pytest.LogCaptureFixture
):
    async with tls_door(tmp_path, migrated_sqlite) as (door, certificate):
        before = trusting(paths_in(tmp_path))
        paths_in(tmp_path).certificate.write_text("half a file")
        certificate.look(NOW_MS)
        pair = await connect(door, before)
        head = await asked(pair)
        await left(pair)

    assert head.startswith(b"HTTP/1.1 200")
    assert [r.levelname for r in caplog.records if getattr(r, "action", "") == "certificate-refused"] == ["ERROR"]


@on_both_loops
async def test_a_client_gone_in_its_handshake_leaves_nothing_behind(tmp_path: Path, migrated_sqlite: Path):
    async with tls_door(tmp_path, migrated_sqlite, head_timeout_s=60) as (door, _):
        for linger in (True, False):
            client = socket.create_connection(("127.0.0.1", door.port))
            if linger:  # its end is a reset, not a goodbye
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
        pair = await connect(door, trusting(paths_in(tmp_path)))
        assert (await asked(pair)).startswith(b"HTTP/1.1 200")
        async with asyncio.timeout(10):
            while door.door.visitors.inside > 1:  # noqa: ASYNC110 - the visitors ring no bell
                await asyncio.sleep(0.01)
        await left(pair)
