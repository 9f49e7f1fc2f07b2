"""Who comes to the gateway's door all day: dispatch centres, coordinators, feed readers, consoles. Run by Locust.

What they need to know (keys, networks, the campaigns to watch) is in the JSON file named by TOCSIN_LOAD_PLAN. Every
request is timed from here; at the end the times are written to the plan's `out`, for `loadtest.run` to judge.
"""

import http.client
import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from locust import FastHttpUser, User, between, constant, constant_throughput, events, task

from loadtest.documents import alert, area_of, broken, new_mark, plp, reference

PLAN: dict[str, Any] = json.loads(Path(os.environ["TOCSIN_LOAD_PLAN"]).read_text(encoding="utf-8"))
_CAP = {"Content-Type": "application/cap+xml"}
_OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}
PASSKEY = "sign in by passkey"
"""From asking for a challenge to the session."""
_TIMES: list[tuple[float, str, float, bool]] = []
"""(seconds UTC at the end, name, milliseconds, whether it went well) of every request."""

_POSTS: list[tuple[str, float]] = []
"""(mark, seconds UTC when its posting began) of every alert that was taken."""


def _note(name: str, response_time: float, exception: Exception | None, **_more: Any) -> None:
    _TIMES.append((round(time.time(), 3), name, round(response_time, 2), exception is None))


def _write(environment: Any, **_more: Any) -> None:
    errors = [
        {"name": e.name, "error": str(e.error)[:300], "count": e.occurrences} for e in environment.stats.errors.values()
    ]
    found = {"requests": _TIMES, "errors": errors, "posts": _POSTS}
    Path(PLAN["out"]).write_text(json.dumps(found), encoding="utf-8")


events.request.add_listener(_note)  # type: ignore[no-untyped-call]
events.quitting.add_listener(_write)  # type: ignore[no-untyped-call]


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _count(name: str) -> int:
    return int(PLAN["counts"].get(name, 0))


class _Dispatch(FastHttpUser):
    """What posts CAP as a dispatch centre does, and remembers what was taken."""

    abstract = True

    def on_start(self) -> None:
        self.draw = random.Random()
        self.headers = _bearer(PLAN["cic"]) | _CAP
        self.sent: list[tuple[str, str, bytes, str]] = []
        """(identifier, sent, document, area) of alerts that were taken."""

    def post_alert(self) -> None:
        network = self.draw.choice(PLAN["networks"])
        area = area_of(network["code"], network["ring"]) if self.draw.random() < 0.5 else plp(network["code"])
        voice = self.draw.random() < PLAN.get("voice_share", 0.0)
        self.post("Alert", area, channels="sms email voice" if voice else "sms email")

    def post(self, msg_type: str, area: str, *, references: str = "", channels: str = "sms email") -> None:
        identifier, mark = self.identifier(), new_mark(self.draw)
        document = alert(identifier, mark, area, msg_type=msg_type, references=references, channels=channels)
        began_s = time.time()
        if not self.send(f"post: {msg_type}", document, 202):
            return
        if msg_type == "Alert":
            _POSTS.append((mark, began_s))
        if msg_type != "Cancel":
            sent = document.partition(b"<sent>")[2].partition(b"</sent>")[0].decode()
            self.sent = [*self.sent[-9:], (identifier, sent, document, area)]

    def send(self, name: str, document: bytes, *wanted: int) -> bool:
        path, body = "/cap/v1/alerts", cast(Any, document)  # said to be text, and sent as it is
        with self.client.post(path, data=body, headers=self.headers, name=name, catch_response=True) as response:
            if response.status_code in wanted:
                response.success()
                return True
            response.failure(f"answered {response.status_code}: {(response.text or '')[:200]}")
            return False

    def identifier(self) -> str:
        return f"load-{self.draw.getrandbits(64):016x}"


class CicSystem(_Dispatch):
    """A dispatch centre's system: alerts, their updates and cancels, replays when it is unsure, and broken ones."""

    wait_time = between(*PLAN.get("cic_wait_s", (0.5, 1.5)))
    fixed_count = _count("CicSystem")

    @task(3)
    def alert(self) -> None:
        self.post_alert()

    @task(1)
    def update(self) -> None:
        if self.sent:
            identifier, sent, _, area = self.sent.pop()
            self.post("Update", area, references=reference(identifier, sent))

    @task(1)
    def cancel(self) -> None:
        if self.sent:
            identifier, sent, _, area = self.sent.pop()
            self.post("Cancel", area, references=reference(identifier, sent))

    @task(1)
    def replay(self) -> None:
        if self.sent:
            self.send("replay of an alert", self.draw.choice(self.sent)[2], 200)

    @task(1)
    def broken(self) -> None:
        network = self.draw.choice(PLAN["networks"])
        whole = alert(self.identifier(), new_mark(self.draw), plp(network["code"]))
        self.send("broken document", broken(self.draw, whole), 400, 422)

    @task(1)
    def look_up(self) -> None:
        if self.sent:
            path = f"/cap/v1/alerts?sender=cic@police.example&identifier={self.sent[-1][0]}"
            self.client.get(path, headers=self.headers, name="find an alert")


class AlertStorm(_Dispatch):
    """Nothing but new alerts, one a second each, however long the last one took."""

    wait_time = constant_throughput(PLAN.get("storm_per_s", 1.0))
    fixed_count = _count("AlertStorm")

    @task
    def alert(self) -> None:
        self.post_alert()


class Coordinator(FastHttpUser):
    """Launches a message to the own network, watches it go, looks at who was reached, sometimes stops it."""

    wait_time = between(1.0, 3.0)
    fixed_count = _count("Coordinator")
    _next = 0

    def on_start(self) -> None:
        self.draw = random.Random()
        mine = PLAN["coordinators"][Coordinator._next % len(PLAN["coordinators"])]
        Coordinator._next += 1
        self.zone, self.network = mine["zone"], mine["network"]
        self.headers = _bearer(mine["token"])

    @task
    def message(self) -> None:
        campaign = self._launch()
        if not campaign:
            return
        path = f"/api/v1/campaigns/{campaign}"
        if self.draw.random() < 0.15:
            self.client.post(f"{path}/stop", headers=self.headers, name="stop a campaign")
        for snapshot in snapshots(self, path, self.headers, 5.0):
            if not snapshot["open"]:
                break
        self._page(f"{path}/deliveries?limit=50")
        self.client.get(path, headers=self.headers, name="look at a campaign")
        self.client.get(f"{path}/report", headers=self.headers, name="read a report")

    def _page(self, path: str) -> None:
        """Through the deliveries, some pages of them."""
        for _ in range(5):
            response = self.client.get(path, headers=self.headers, name="page of deliveries")
            path = response.json().get("next", "") if response.status_code == 200 else ""
            if not path:
                return

    def _launch(self) -> str:
        mark = new_mark(self.draw)
        text = f"{mark} Buurtfeest zaterdag om 14 uur op het plein."
        body = {
            "zone": self.zone,
            "kind": "news",
            "title": f"{mark} Buurtfeest",
            "texts": [{"language": "nl", "sms": text, "subject": f"{mark} Buurtfeest", "email": text, "voice": text}],
            "targets": {"networks": [self.network]},
            "channels": ["sms", "email"],
            "terms_confirmed": True,
        }
        headers = self.headers | {"Idempotency-Key": mark}
        with self.client.post(
            "/api/v1/campaigns", json=body, headers=headers, name="launch a message", catch_response=True
        ) as response:
            if response.status_code != 202:
                response.failure(f"answered {response.status_code}: {(response.text or '')[:200]}")
                return ""
            response.success()
            return str(response.json()["campaign"])


class FeedReader(FastHttpUser):
    """Reads the public feed as caches and sirens do: always with what it has seen, and new alerts once each."""

    wait_time = between(1.0, 3.0)
    fixed_count = _count("FeedReader")

    def on_start(self) -> None:
        self.draw = random.Random()
        self.etag = ""
        self.seen: dict[str, str] = {}
        """Path of an alert -> its ETag."""

    @task(3)
    def feed(self) -> None:
        text = self._feed()
        for path in _alerts_of(text)[:3]:
            if path not in self.seen:
                response = self.client.get(path, name="alert of the feed")
                self.seen[path] = _etag(response) if response.status_code == 200 else ""
        if self.draw.random() < 0.3:
            self._feed()  # the next one behind the same cache

    @task(1)
    def same_alert(self) -> None:
        """An alert never changes: whoever has it is told so."""
        known = [(path, etag) for path, etag in self.seen.items() if etag]
        if known:
            path, etag = self.draw.choice(known)
            self._conditional(path, "alert of the feed", etag, (304,))

    def _feed(self) -> str:
        response = self._conditional("/cap/feed.atom", "feed", self.etag, (200, 304))
        if response.status_code != 200:
            return ""
        self.etag = _etag(response)
        return response.text or ""

    def _conditional(self, path: str, name: str, etag: str, wanted: tuple[int, ...]) -> Any:
        """The name says what it came to: `feed: 304`, `feed: 200 for another`, `feed` where nothing was known yet."""
        headers = {"If-None-Match": etag} if etag else {}
        with self.client.get(path, headers=headers, name=name, catch_response=True) as response:
            if etag:
                word = "304" if response.status_code == 304 else "200 for another"
                response.request_meta["name"] = f"{name}: {word}"
            if response.status_code in wanted:
                response.success()
            else:
                response.failure(f"answered {response.status_code}")
            return response


class PasswordGuesser(FastHttpUser):
    """Tries passwords, from another address each time, on accounts that there are and on some that there are not."""

    wait_time = constant_throughput(PLAN.get("guesses_per_s", 1.0))
    fixed_count = _count("PasswordGuesser")

    def on_start(self) -> None:
        self.draw = random.Random()

    @task
    def guess(self) -> None:
        account = self.draw.choice([*PLAN["guessed"], f"nobody-{self.draw.getrandbits(32)}"])
        body = {"account": account, "password": f"geraden-{self.draw.getrandbits(64):x}", "code": "123456"}
        headers = {"X-Forwarded-For": _somewhere(self.draw)}
        name = "guess a password"
        with self.client.post(
            "/api/v1/sessions/password", json=body, headers=headers, name=name, catch_response=True
        ) as response:
            if response.status_code in (401, 429):
                response.request_meta["name"] = f"{name}: {response.status_code}"
                response.success()
            else:
                response.failure(f"answered {response.status_code}: {(response.text or '')[:200]}")


class PasskeyHolder(FastHttpUser):
    """Signs in with a passkey, looks who it is, signs out."""

    wait_time = between(0.5, 1.5)
    fixed_count = _count("PasskeyHolder")
    _next = 0

    def on_start(self) -> None:
        from loadtest.authenticator import Authenticator  # a second to import: only where somebody has one

        self.draw = random.Random()
        mine = PLAN["passkeys"][PasskeyHolder._next % len(PLAN["passkeys"])]
        PasskeyHolder._next += 1
        self.authenticator = Authenticator.of_saved(mine)

    @task
    def sign_in(self) -> None:
        headers = {"X-Forwarded-For": _somewhere(self.draw)}
        began_s, error = time.perf_counter(), cast(Exception | None, None)
        asked = self.client.post("/api/v1/sessions/passkey/challenge", headers=headers, name="ask for a challenge")
        try:
            answer = self.authenticator.asserted(asked.json()["public_key"])
        except (ValueError, KeyError) as exc:
            error = exc
        else:
            signed = self.client.post("/api/v1/sessions/passkey", json=answer, headers=headers, name="show a passkey")
            if signed.status_code != 201:
                error = RuntimeError(f"answered {signed.status_code}: {(signed.text or '')[:200]}")
        self.environment.events.request.fire(
            request_type="POST", name=PASSKEY, response_time=(time.perf_counter() - began_s) * 1000,
            response_length=0, exception=error, context={},
        )  # fmt: skip
        if error is None:
            self.client.delete("/api/v1/sessions/current", headers=headers | _OWN_PAGE, name="sign out")


def _somewhere(draw: random.Random) -> str:
    """An address of nobody (RFC 2544's): whoever floods has many."""
    return f"198.18.{draw.randrange(256)}.{draw.randrange(1, 255)}"


class Console(User):
    """A dispatch centre's screen: follows one campaign after another by its stream of progress."""

    wait_time = constant(0.2)
    fixed_count = _count("Console")

    def on_start(self) -> None:
        self.draw = random.Random()
        self.host = self.environment.host

    @task
    def follow(self) -> None:
        path = f"/api/v1/campaigns/{self.draw.choice(PLAN['campaigns'])}"
        for _ in snapshots(self, path, _bearer(PLAN["operator"]), PLAN.get("follow_s", 20.0)):
            pass


def _etag(response: Any) -> str:
    return str(response.headers.get("ETag", ""))


def _alerts_of(feed: str) -> list[str]:
    """Paths of the documents that a feed links."""
    found = []
    for piece in feed.split('href="')[1:]:
        path = urlsplit(piece.partition('"')[0]).path
        if path.startswith("/cap/alerts/"):
            found.append(path)
    return found


def snapshots(user: Any, path: str, headers: dict[str, str], life_s: float) -> Iterator[dict[str, Any]]:
    """The progress of a campaign as it is pushed, for so long. The first one's time is noted as a request."""
    address = urlsplit(user.host or PLAN["url"])
    started = time.perf_counter()
    noted, error = False, None
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    try:
        connection.request("GET", f"{path}/progress", headers=headers)
        response = connection.getresponse()
        if response.status != 200:
            raise http.client.HTTPException(f"answered {response.status}")
        while time.perf_counter() - started < life_s:
            line = response.readline()
            if not line:
                break
            if line.startswith(b"data:"):
                if not noted:
                    noted = True
                    _fire(user, (time.perf_counter() - started) * 1000, None)
                yield json.loads(line[5:])
    except (OSError, http.client.HTTPException, ValueError) as exc:
        error = exc
    finally:
        connection.close()
    if error is not None:
        _fire(user, (time.perf_counter() - started) * 1000, error)


def _fire(user: Any, took_ms: float, error: Exception | None) -> None:
    user.environment.events.request.fire(
        request_type="SSE", name="stream: first snapshot", response_time=took_ms, response_length=0,
        exception=error, context={},
    )  # fmt: skip
