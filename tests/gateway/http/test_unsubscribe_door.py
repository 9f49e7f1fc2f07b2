"""The link in a mail of news: a look changes nothing, one POST takes the address off, and nobody else can."""

import pytest
import sqlalchemy as sa

from channels.contract import Channel
from channels.email.unsubscribe import token
from store.tables import opt_out
from tests.gateway.http.doorway import KEY, Doorway

ONE_CLICK = {"data": "List-Unsubscribe=One-Click", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}


async def mailed(door: Doorway, people: int = 2) -> int:
    """A campaign by e-mail in zone A; its number."""
    ids = await door.house.people("A", people)
    audience = door.house.audience({Channel.EMAIL: ids})
    [number] = await door.house.launch(1, door.house.campaign("A", 1, audience, "c1"))
    await door.house.expand(number, audience)
    return number


def link(number: int, place: int = 0, *, generation: str = "gen", key: bytes = KEY) -> str:
    return f"/unsubscribe/{token(f'{generation}.{(number << 24) + place:x}', key)}"


async def in_force(door: Doorway) -> list[tuple[str, str, str]]:
    async with door.house.database.read() as conn:
        rows = await conn.execute(
            sa.select(opt_out).where(opt_out.c.until_ms.is_(None), opt_out.c.address_id.is_not(None))
        )
        return sorted((row.kind, row.channel, row.source) for row in rows)


async def test_a_look_asks_and_changes_nothing(door: Doorway):
    number = await mailed(door)

    for method in ("GET", "HEAD"):
        answer = await door.ask(method, link(number))
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")

    assert await in_force(door) == []


async def test_one_post_takes_the_address_off_news_and_notices(door: Doorway):
    number = await mailed(door)

    answer = await door.post(link(number), **ONE_CLICK)

    assert answer.status == 200
    assert await in_force(door) == [("info", "email", "one-click"), ("news", "email", "one-click")]


async def test_said_again_it_changes_nothing_and_is_answered_alike(door: Doorway):
    number = await mailed(door)
    first = await door.post(link(number), **ONE_CLICK)

    again = await door.post(link(number), data=b"x" * 100_000)

    assert (again.status, again.body) == (first.status, first.body)
    assert len(await in_force(door)) == 2


@pytest.mark.parametrize(
    "path",
    [
        "/unsubscribe/gen.1000000." + "0" * 32,
        "/unsubscribe/nonsense",
        link(1, key=b"another key"),
        link(1, generation="other"),
        link(999),
        link(1)[:-1],
    ],
)
async def test_what_is_no_token_of_ours_is_answered_alike_and_does_nothing(door: Doorway, path: str):
    await mailed(door)
    strange = await door.post("/unsubscribe/zzz")

    answer = await door.post(path, **ONE_CLICK)

    assert (answer.status, answer.body) == (404, strange.body)
    assert await in_force(door) == []


@pytest.mark.parametrize(
    ("accept", "word"), [("nl", "Uitschrijven"), ("fr-BE", "désinscrire"), ("de", "Abmelden"), ("pt", "Unsubscribe")]
)
async def test_the_page_speaks_the_languages_of_the_country(door: Doorway, accept: str, word: str):
    number = await mailed(door)

    answer = await door.get(link(number), headers={"Accept-Language": accept})

    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert word in answer.body.decode()
    assert "form-action 'self'" in answer.headers["Content-Security-Policy"]
    assert '<form method="post" action="">' in answer.body.decode()
