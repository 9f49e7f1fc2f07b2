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
from typing import Any
from urllib.parse import urlsplit

from locust import FastHttpUser, User, between, constant, events, task

from loadtest.documents import alert, area_of, broken, new_mark, plp, reference

PLAN: dict[str, Any] = json.loads(Path(os.environ["TOCSIN_LOAD_PLAN"]).read_text(encoding="utf-8"))
_CAP = {"Content-Type": "application/cap+xml"}
_TIMES: list[tuple[float, str, float, bool]] = []
"""(seconds UTC at the end, name, milliseconds, whether it went well) of every request."""


@events.request.add_listener
def _note(name: str, response_time: float, exception: Exception | None, **_more: Any) -> None:
    _TIMES.append((round(time.time(), 3), name, round(response_time, 2), exception is None))


@events.quitting.add_listener
def _write(environment: Any, **_more: Any) -> None:
    errors = [
        {"name": e.name, "error": str(e.error)[:300], "count": e.occurrences} for e in environment.stats.errors.values()
    ]
    Path(PLAN["out"]).write_text(json.dumps({"requests": _TIMES, "errors": errors}), encoding="utf-8")


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _count(name: str) -> int:
    return int(PLAN["counts"].get(name, 0))


class CicSystem(FastHttpUser):
    """A dispatch centre's system: alerts, their updates and cancels, replays when it is unsure, and broken ones."""

    wait_time = between(*PLAN.get("cic_wait_s", (0.5, 1.5)))
    fixed_count = _count("CicSystem")

    def on_start(self) -> None:
        self.draw = random.Random()
        self.headers = _bearer(PLAN["cic"]) | _CAP
        self.sent: list[tuple[str, str, bytes, str]] = []
        """(identifier, sent, document, area) of alerts that were taken."""

    @task(3)
    def alert(self) -> None:
        network = self.draw.choice(PLAN["networks"])
        area = area_of(network["code"], network["ring"]) if self.draw.random() < 0.5 else plp(network["code"])
        voice = self.draw.random() < PLAN.get("voice_share", 0.0)
        self._post("Alert", area, channels="sms email voice" if voice else "sms email")

    @task(1)
    def update(self) -> None:
        if self.sent:
            identifier, sent, _, area = self.sent.pop()
            self._post("Update", area, references=reference(identifier, sent))

    @task(1)
    def cancel(self) -> None:
        if self.sent:
            identifier, sent, _, area = self.sent.pop()
            self._post("Cancel", area, references=reference(identifier, sent))

    @task(1)
    def replay(self) -> None:
        if self.sent:
            self._send("replay of an alert", self.draw.choice(self.sent)[2], 200)

    @task(1)
    def broken(self) -> None:
        network = self.draw.choice(PLAN["networks"])
        whole = alert(self._identifier(), new_mark(self.draw), plp(network["code"]))
        self._send("broken document", broken(self.draw, whole), 400, 422)

    @task(1)
    def look_up(self) -> None:
        if self.sent:
            path = f"/cap/v1/alerts?sender=cic@police.example&identifier={self.sent[-1][0]}"
            self.client.get(path, headers=self.headers, name="find an alert")

    def _post(self, msg_type: str, area: str, *, references: str = "", channels: str = "sms email") -> None:
        identifier, mark = self._identifier(), new_mark(self.draw)
        document = alert(identifier, mark, area, msg_type=msg_type, references=references, channels=channels)
        if self._send(f"post: {msg_type}", document, 202) and msg_type != "Cancel":
            sent = document.partition(b"<sent>")[2].partition(b"</sent>")[0].decode()
            self.sent = [*self.sent[-9:], (identifier, sent, document, area)]

    def _send(self, name: str, document: bytes, *wanted: int) -> bool:
        path = "/cap/v1/alerts"
        with self.client.post(path, data=document, headers=self.headers, name=name, catch_response=True) as response:
            if response.status_code in wanted:
                response.success()
                return True
            response.failure(f"answered {response.status_code}: {(response.text or '')[:200]}")
            return False

    def _identifier(self) -> str:
        return f"load-{self.draw.getrandbits(64):016x}"


class AlertStorm(CicSystem):
    """Nothing but new alerts."""

    wait_time = between(*PLAN.get("storm_wait_s", (0.9, 1.1)))
    fixed_count = _count("AlertStorm")
    tasks = (CicSystem.alert,)


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
        self.client.get(f"{path}/deliveries?limit=50", headers=self.headers, name="page of deliveries")
        self.client.get(path, headers=self.headers, name="look at a campaign")
        self.client.get(f"{path}/report", headers=self.headers, name="read a report")

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
            "key": mark,
        }
        with self.client.post(
            "/api/v1/campaigns", json=body, headers=self.headers, name="launch a message", catch_response=True
        ) as response:
            if response.status_code != 202:
                response.failure(f"answered {response.status_code}: {(response.text or '')[:200]}")
                return ""
            response.success()
            return str(response.json()["campaign"])


class FeedReader(FastHttpUser):
    """Reads the public feed as caches and sirens do: with what it has seen, and new alerts once each."""

    wait_time = between(1.0, 3.0)
    fixed_count = _count("FeedReader")

    def on_start(self) -> None:
        self.etag = ""
        self.seen: set[str] = set()

    @task
    def feed(self) -> None:
        headers = {"If-None-Match": self.etag} if self.etag else {}
        with self.client.get("/cap/feed.atom", headers=headers, name="feed", catch_response=True) as response:
            if response.status_code not in (200, 304):
                response.failure(f"answered {response.status_code}")
                return
            response.success()
            self.etag = response.headers.get("ETag", "") or self.etag
            text = (response.text or "") if response.status_code == 200 else ""
        for path in _alerts_of(text)[:3]:
            if path not in self.seen:
                self.seen.add(path)
                self.client.get(path, name="alert of the feed")


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
