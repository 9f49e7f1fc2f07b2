"""What is asked for outside: signed, once more after a while, never elsewhere, never for long, and said in rows."""

import asyncio
import base64
import contextlib

import pytest
import sqlalchemy as sa
from aiohttp import web

from gateway.notices import outside
from gateway.notices.outside import RETRY_MS, DeadManPing, WebhookCaller, ask, signature
from gateway.settings import AlarmSettings
from store.notices import webhooks
from store.tables import webhook_call

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()


class Receiver:
    """An HTTP server that answers as it is told and writes down what came."""

    def __init__(self):
        self.got = []
        self.status = 200
        self.body = b"ok"
        self.headers = {}
        self.url = ""

    async def take(self, request):
        self.got.append((request.method, request.path_qs, dict(request.headers), await request.text()))
        return web.Response(status=self.status, body=self.body, headers=self.headers)


@pytest.fixture
async def receiver():
    found = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", found.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield found
    await runner.cleanup()


@contextlib.asynccontextmanager
async def silent_server():
    """Takes connections and says nothing."""

    held = []

    async def hold(reader, writer):
        held.append(writer)

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
        for writer in held:
            writer.close()


def caller(database, url):
    return WebhookCaller(database, AlarmSettings(webhook_url=url, webhook_secret=SECRET))


async def queued(database, body='{"type":"alarm.test"}'):
    return await database.write(lambda tx: webhooks.queue(tx, "msg_1", "alarm.test", body))


async def view(database, call_id):
    async with database.read() as conn:
        return await webhooks.call_view(conn, call_id)


async def due_now(database):
    await database.write(lambda tx: tx.run(sa.update(webhook_call).values(due_ms=tx.now_ms)))


async def seen(database):
    async with database.read() as conn:
        return {one.name: one for one in await webhooks.outside_views(conn)}


# ---- webhooks ----------------------------------------------------------------------------------------------------


def test_the_signature_is_that_of_standard_webhooks():
    """The example of its specification."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = '{"test": 2432232314}'
    expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body) == expected


async def test_a_call_is_signed_and_taken_once(database, receiver):
    call_id = await queued(database)
    hook = caller(database, receiver.url)
    assert await hook.run()
    assert not await hook.run()

    [(method, path, headers, body)] = receiver.got
    assert (method, path, body) == ("POST", "/hook", '{"type":"alarm.test"}')
    assert headers["webhook-id"] == "msg_1"
    assert headers["webhook-signature"] == signature(KEY, "msg_1", int(headers["webhook-timestamp"]), body)
    assert (await view(database, call_id)).taken_ms is not None
    assert (await seen(database))["webhook"].detail == "HTTP 200"
    assert not (await seen(database))["webhook"].fails


async def test_what_is_not_taken_is_tried_again_under_the_same_id_and_given_up_in_the_end(database, receiver):
    receiver.status = 503
    call_id = await queued(database)
    hook = caller(database, receiver.url)
    for attempt in range(len(RETRY_MS) + 1):
        await due_now(database)
        before = await database.write(lambda tx: asyncio.sleep(0, tx.now_ms))
        assert await hook.run()
        seen_now = await view(database, call_id)
        if attempt < len(RETRY_MS):
            assert seen_now.due_ms - before >= RETRY_MS[attempt]
            assert not await hook.run(), "not before its time"
    assert (seen_now.attempts, seen_now.due_ms, seen_now.taken_ms) == (len(RETRY_MS) + 1, None, None)
    assert seen_now.error == "HTTP 503"
    assert {headers["webhook-id"] for _, _, headers, _ in receiver.got} == {"msg_1"}
    assert (await seen(database))["webhook"].fails


async def test_who_wants_no_more_is_not_asked_again(database, receiver):
    receiver.status = 410
    call_id = await queued(database)
    await caller(database, receiver.url).run()
    assert (await view(database, call_id)).due_ms is None


async def test_a_server_that_is_killed_in_a_call_makes_it_again(database, receiver):
    call_id = await queued(database)
    assert (await database.write(lambda tx: webhooks.begin(tx, 30_000))).attempts == 1
    assert not await caller(database, receiver.url).run(), "somebody may be at it"
    await due_now(database)
    assert await caller(database, receiver.url).run()
    assert (await view(database, call_id)).attempts == 2


async def test_no_redirect_is_followed_and_nothing_of_an_answer_is_kept(database, receiver):
    other = receiver.url.replace("/hook", "/elsewhere")
    receiver.status, receiver.headers, receiver.body = 302, {"Location": other}, b"secret" * 1_000_000
    call_id = await queued(database)
    await caller(database, receiver.url).run()
    assert [path for _, path, _, _ in receiver.got] == ["/hook"]
    assert (await view(database, call_id)).error == "HTTP 302"


async def test_who_does_not_answer_is_waited_for_a_bounded_time(monkeypatch):
    monkeypatch.setattr(outside, "TIMEOUT_S", 0.2)
    async with silent_server() as url:
        assert await ask("GET", url) == outside.OutsideAnswer(False, "no answer within 0.2 s")
    assert not (await ask("GET", "http://127.0.0.1:1/secret")).ok
    assert "secret" not in (await ask("GET", "http://127.0.0.1:1/secret")).text


# ---- the ping ----------------------------------------------------------------------------------------------------


async def test_as_long_as_all_is_well_it_is_asked_for_and_then_no_more(database, receiver):
    trouble = [""]

    async def why():
        return trouble[0]

    ping = DeadManPing(database, AlarmSettings(ping_url=receiver.url), why)
    await ping.run()
    assert [method for method, *_ in receiver.got] == ["GET"]
    assert not (await seen(database))["ping"].fails
    trouble[0] = "disk"
    await ping.run()
    assert len(receiver.got) == 1
    after = (await seen(database))["ping"]
    assert (after.fails, after.detail) == (True, "held back: disk")
