"""(g) All lanes busy, and fifty sign-ins a second by passwords that are wrong, from everywhere: every promise of (a)
holds, hashing takes a twentieth of a core, and whoever has a passkey is in within a second."""

import asyncio
import re
import time
from typing import Any

import aiohttp
import numpy as np

from loadtest import verdict
from loadtest.authenticator import Authenticator
from loadtest.door import DoorRefused
from loadtest.ground import Ground
from loadtest.outcome import RunOutcome
from loadtest.scenarios import shared_lines
from loadtest.scenarios.all_lanes import CHANNELS, EVERYBODY, WARM_S, flood
from loadtest.stage import RunTerms, StageFailed, cpu_of
from loadtest.trial import Trial
from loadtest.verdict import VerdictLine

_FLOOD_PER_S = 50
_GUESSERS = 150
"""Those whose guess waits to be hashed make no other: there are more than one for each guess a second."""
_HOLDERS = 6
_SIGNING_IN = ("guess a password", "ask for a challenge", "show a passkey", "sign in by passkey", "sign out")
_HASHING_SHARE = 0.05
_HASHING_WINDOW_S = 10.0
_HASHING = "tocsin-hashing"
"""The process in which the gateway hashes, in `ps`."""


async def sign_ins(ground: Ground, seconds: int, size: int) -> RunOutcome:
    members = size or min(max(seconds * 1000, 10_000), 200_000)
    async with ground.trial(RunTerms(trusted_proxies=("127.0.0.1",))) as trial:
        await trial.set_up(members, networks=max(2, members // 50))
        holders = [await _holder(trial, f"holder-{number}") for number in range(_HOLDERS)]
        counts = EVERYBODY | {"PasswordGuesser": _GUESSERS, "PasskeyHolder": _HOLDERS}
        plan = {
            "passkeys": [holder.saved for holder in holders],
            "guessed": [f"holder-{number}" for number in range(_HOLDERS)],
            "guesses_per_s": _FLOOD_PER_S / _GUESSERS * 1.5,
        }
        async with trial.watched():
            await flood(trial, seconds + WARM_S + 5, ground.lanes or CHANNELS)
            async with trial.crowd(seconds + WARM_S, counts, **plan):
                await asyncio.sleep(WARM_S)
                start_s = time.time()
                hashing_s = await _hashing(trial, seconds)
                end_s = time.time()
                trial.note()
            rest_s = await trial.come_to_rest(stop=True)
        return await _judged(trial, start_s, end_s, rest_s, hashing_s)


async def _holder(trial: Trial, code: str) -> Authenticator:
    """An account of a person with a passkey, by the way that people go: an invitation, and a factor set up."""
    stage = trial.stage
    zone = stage.lines["zone"][0]["code"]
    mail = f"{code}@zone.example"
    said = await stage.command("account", "invite", "--admin", "--zone", zone, "--email", mail, "--name", code)
    found = re.search(r"/invitation#(\S+)", said)
    if found is None:
        raise StageFailed(f"no invitation of {code}: {said}")
    authenticator = Authenticator(stage.url)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        await _post(session, f"{stage.url}/api/v1/invitations/accept", {"token": found[1]})
        asked = await _post(session, f"{stage.url}/api/v1/me/passkeys/challenge", None)
        await _post(session, f"{stage.url}/api/v1/me/passkeys", authenticator.created(asked["public_key"]))
    return authenticator


async def _post(session: aiohttp.ClientSession, url: str, body: dict[str, str] | None) -> Any:
    async with session.post(url, json=body, headers={"Sec-Fetch-Site": "same-origin"}) as response:
        if response.status >= 400:
            raise DoorRefused(f"POST {url}: {response.status} {(await response.text())[:1000]}")
        return await response.json()


async def _hashing(trial: Trial, seconds: float) -> list[tuple[float, float]]:
    """(seconds UTC, CPU seconds so far) of the process that hashes, twice a second for so long."""
    found = []
    until_s = time.time() + seconds
    while (now_s := time.time()) < until_s:
        pid = trial.gateway.made().get(_HASHING)
        found.append((now_s, 0.0 if pid is None else cpu_of(pid)))
        await asyncio.sleep(min(0.5, max(0.0, until_s - now_s)))
    return found


async def _judged(
    trial: Trial, start_s: float, end_s: float, rest_s: float, hashing_s: list[tuple[float, float]]
) -> RunOutcome:
    arrived = await trial.arrived()
    signing, trial.requests = _parted(trial.requests)
    outcome = RunOutcome(
        lines=[
            *shared_lines.floors(arrived, start_s, end_s),
            *shared_lines.ceilings(trial.stage.terms, arrived),
            *_of_sign_ins(signing, start_s, end_s),
            _of_hashing(hashing_s),
        ]
    )
    shared_lines.add_api(outcome, trial, start_s, end_s)
    outcome.times += verdict.by_name(signing, start_s, end_s)
    await shared_lines.add_accounting(outcome, trial, arrived)
    shared_lines.add_costs(outcome, trial, arrived, start_s, end_s)
    outcome.lines.append(verdict.told("time to come to rest", rest_s, "s"))
    outcome.curves = shared_lines.curves(trial, arrived, start_s, end_s)
    return outcome


Request = tuple[float, str, float, bool]


def _parted(requests: list[Request]) -> tuple[list[Request], list[Request]]:
    """Those of people who sign in, and everybody else's, of whom (a) promises."""
    signing = [r for r in requests if r[1].startswith(_SIGNING_IN)]
    return signing, [r for r in requests if not r[1].startswith(_SIGNING_IN)]


def _of_sign_ins(signing: list[Request], start_s: float, end_s: float) -> list[VerdictLine]:
    inside = [r for r in signing if start_s <= r[0] < end_s]
    guesses = [r for r in inside if r[1].startswith("guess a password")]
    hashed = sum(r[1].endswith(": 401") for r in guesses)
    by_passkey = [r for r in inside if r[1] == "sign in by passkey"]
    took_ms = [r[2] for r in by_passkey] or [float("inf")]
    return [
        verdict.at_least("guesses of passwords a second", len(guesses) / (end_s - start_s), _FLOOD_PER_S),
        verdict.told("of them hashed, and the rest told to come later", f"{hashed}, {len(guesses) - hashed}"),
        verdict.at_least("sign-ins by passkey", len(by_passkey), 10),
        verdict.at_most("sign-ins that failed otherwise than they should", sum(not r[3] for r in inside), 0),
        verdict.at_most("sign-in by passkey, p99", float(np.percentile(took_ms, 99)), 1000.0, "ms", speed=True),
        verdict.told("sign-in by passkey, worst", max(took_ms), "ms"),
    ]


def _of_hashing(samples: list[tuple[float, float]]) -> VerdictLine:
    """The most of a core that hashing took in any ten seconds."""
    shares = [
        (cpu - before) / (at_s - before_s)
        for at_s, cpu in samples
        for before_s, before in samples
        if _HASHING_WINDOW_S - 0.25 <= at_s - before_s < _HASHING_WINDOW_S + 0.25
    ]
    return verdict.at_most(
        "hashing in any 10 s, of one core", 100 * max(shares, default=0.0), 100 * _HASHING_SHARE, "%"
    )
