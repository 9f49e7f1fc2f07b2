"""Make a population: a seed file (docs/seed-format.md) of zones, networks, members and accounts, the same for one seed.

    python -m loadtest.population --zones 2 --networks 3 --members 300 --seed 1 --tokens tokens.txt > seed.jsonl

Every person is made up. Numbers are valid in their plan and may be somebody's: only ever load them into a gateway
whose carriers are sinks or simulated. Mailboxes lie under example.org and .example. Streams: any number of members.
"""

import argparse
import hashlib
import json
import math
import os
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TextIO

Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Municipality:
    lat: float
    lon: float
    postcode: int
    refnis: int
    language: str


_PLACES = (
    Municipality(50.6057, 3.3878, 7500, 57081, "fr"),  # Tournai
    Municipality(50.8280, 3.2649, 8500, 34022, "nl"),  # Kortrijk
    Municipality(50.6279, 6.0360, 4700, 63023, "de"),  # Eupen
    Municipality(51.0543, 3.7174, 9000, 44021, "nl"),  # Gent
    Municipality(50.4674, 4.8720, 5000, 92094, "fr"),  # Namur
    Municipality(51.2194, 4.4025, 2000, 11002, "nl"),  # Antwerpen
    Municipality(50.6326, 5.5797, 4000, 62063, "fr"),  # Liège
    Municipality(50.8467, 4.3525, 1000, 21004, "fr"),  # Bruxelles
)
_FIRST = ("An", "Bart", "Chloé", "Daan", "Élise", "Fatima", "Günther", "Hélène", "Ilse", "Jürgen", "Karel", "Léa")
_LAST = ("Peeters", "Janssens", "Maes", "Dupont", "Lambert", "Müller", "Schröder", "D'Hondt", "Van den Bossche")
_HOSTILE = (
    'Jean "la Fusée" O\'Neil',
    "<script>alert(1)</script>",
    "Robert'); DROP TABLE member;--",
    "{{name}} {0} %s %n $HOME",
    "\u202eevitagen emaN",
    "Zoë 🦊 Żółć",
    "Jo\u200bse\u0301 Ａｌｉｃｅ",
    "=HYPERLINK(0)",
    "Ελένη Κυριάκου 王秀英",
)
_AREAS = ("69", "56", "81", "87", "63", "11")  # Belgian area codes with six digits after them
_FOREIGN = ("+3361{:07d}", "+3161{:07d}", "+491512{:07d}", "+352621{:06d}", "+447400{:06d}")
_RULES = [
    {"kind": "alert", "urgency": ["Immediate", "Expected"]},
    {"kind": "preventive", "urgency": ["Future"]},
]
_SHARED_MOBILE = "+32470000000"
"""The first member of every zone has it: one address in several zones."""
_LOT_MILLIEURO = 500_000


def population(
    *,
    zones: int,
    networks: int,
    members: int,
    seed: int,
    key_salt: str,
    centres: list[tuple[float, float]] | None = None,
) -> Iterator[Line]:
    """The lines of a seed file. `members` and `networks` are of all zones together; a zone has one network at least."""
    places = [_place(number, centres or []) for number in range(zones)]
    for number, place in enumerate(places):
        yield from _zone(number, place, networks_of(number, zones, networks))
    yield from _accounts(zones, networks, key_salt)
    for number, place in enumerate(places):
        here = members // zones + (number < members % zones)
        first = number * (members // zones) + min(number, members % zones)
        maker = _Maker(random.Random(f"{seed}:{number}"), number, place, networks_of(number, zones, networks))
        for index in range(here):
            yield maker.member(first + index, index)


def token(code: str, key_salt: str) -> str:
    """An account's API key: the same for one salt, and as secret as the salt is."""
    return f"tocsin_{_digest('id', code, key_salt)[:12]}_{_digest('secret', code, key_salt)}"


def networks_of(zone: int, zones: int, networks: int) -> int:
    """How many of the networks lie in this zone."""
    return max(1, networks // zones + (zone < networks % zones))


def zone_code(number: int) -> str:
    return str(5301 + number)


def network_code(zone: int, number: int) -> str:
    return f"PLP-{zone_code(zone)}-{number + 1}"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _place(number: int, centres: list[tuple[float, float]]) -> Municipality:
    known = _PLACES[number % len(_PLACES)]
    if number < len(centres):
        return Municipality(*centres[number], known.postcode, known.refnis, known.language)
    away = 0.05 * (number // len(_PLACES))
    return Municipality(known.lat + away, known.lon + away, known.postcode, known.refnis, known.language)


def _centre(place: Municipality, number: int) -> tuple[float, float]:
    """Networks lie on a spiral round the zone's centre, 1 km or more apart."""
    angle, distance = 2.4 * number, 0.012 * math.sqrt(number)
    return place.lat + distance * math.sin(angle), place.lon + distance * 1.6 * math.cos(angle)


def _zone(number: int, place: Municipality, networks: int) -> Iterator[Line]:
    code = zone_code(number)
    convention = 2 if number % 2 else 1
    yield {"type": "zone", "code": code, "name": f"Zone {code}", "convention": convention}
    for index in range(networks):
        lat, lon = _centre(place, index)
        corners = [(-1, -1), (-1, 1), (1, 1), (1, -1), (-1, -1)]
        ring = [[round(lat + 0.004 * y, 6), round(lon + 0.006 * x, 6)] for y, x in corners]
        yield {
            "type": "network",
            "zone": code,
            "code": network_code(number, index),
            "name": f"Network {index + 1} of {code}",
            "territory": [ring],
            "codes": [{"system": "REFNIS", "value": str(place.refnis)}],
        }
    for group in ("coordinators", "test"):
        yield {"type": "group", "zone": code, "code": group, "name": group.capitalize()}
    yield {
        "type": "lot",
        "zone": code,
        "reference": f"demonstration {code}",
        "amount_millieuro": _LOT_MILLIEURO,
        "valid_until": "2028-07-20T22:00:00Z",
    }


def account_codes(zones: int, networks: int) -> list[str]:
    """Every account of a population, in the order of its lines."""
    inside = [[f"officer-{zone_code(z)}", *_coordinators(z, networks_of(z, zones, networks))] for z in range(zones)]
    return ["cic-demo", *(code for codes in inside for code in codes), "operator", "auditor"]


def _coordinators(zone: int, networks: int) -> list[str]:
    return [f"coordinator-{network_code(zone, number)}" for number in range(networks)]


def _accounts(zones: int, networks: int, key_salt: str) -> Iterator[Line]:
    def account(code: str, kind: str, rights: list[Line], **more: Any) -> Line:
        _, key_id, secret = token(code, key_salt).split("_")
        key = {"key_id": key_id, "secret_sha256": hashlib.sha256(secret.encode()).hexdigest()}
        return {
            "type": "account",
            "code": code,
            "name": code,
            "account_type": kind,
            "rights": rights,
            "keys": [key],
        } | more

    codes = [zone_code(number) for number in range(zones)]
    acts = [{"action": action, "zone": code} for code in codes for action in ("submit", "read", "stop")]
    yield account("cic-demo", "cic", acts, senders=["cic@police.example"], kind_rules=_RULES)
    for number, code in enumerate(codes):
        rights = [{"action": action, "zone": code} for action in ("submit", "launch", "read", "stop")]
        sender = f"officer@pz{code}.example"
        yield account(f"officer-{code}", "officer", rights, senders=[sender], kind_rules=_RULES)
        for index, coordinator in enumerate(_coordinators(number, networks_of(number, zones, networks))):
            where = {"zone": code, "network": network_code(number, index)}
            rights = [{"action": action, **where} for action in ("launch", "read", "stop")]
            yield account(coordinator, "coordinator", rights)
    yield account("operator", "operator", [{"action": action} for action in ("operate", "read", "stop")])
    yield account("auditor", "auditor", [{"action": "read"}])


class _Maker:
    """The members of one zone, drawn one after another."""

    def __init__(self, draw: random.Random, zone: int, place: Municipality, networks: int) -> None:
        self._draw = draw
        self._zone = zone
        self._place = place
        self._networks = networks
        self._mobile_before = _SHARED_MOBILE

    def member(self, serial: int, index: int) -> Line:
        """`serial` counts over all zones, `index` in this one."""
        draw, code = self._draw, zone_code(self._zone)
        networks = self._own_networks(index)
        line: Line = {
            "type": "member",
            "zone": code,
            "reference": f"{code}-{index + 1:07d}",
            "name": self._name(),
            "language": self._language(),
            "postcode": self._place.postcode,
            "refnis": self._place.refnis,
            "networks": networks,
            "contacts": self._contacts(serial, index),
        }
        if draw.random() >= 0.04:
            line["position"] = self._position(index)
        if index < self._networks:
            line["groups"] = ["coordinators"]
        elif draw.random() < 0.02:
            line["groups"] = ["test"]
        opt_outs = [
            kind for kind, share in (("news", 0.08), ("info", 0.04), ("preventive", 0.02)) if draw.random() < share
        ]
        if opt_outs:
            line["opt_outs"] = opt_outs
        return line

    def _own_networks(self, index: int) -> list[Line]:
        if not self._networks:
            return []
        first = index % self._networks
        role = "coordinator" if index < self._networks else "member"
        found = [{"code": network_code(self._zone, first), "role": role}]
        if self._networks > 1 and self._draw.random() < 0.05:
            found.append({"code": network_code(self._zone, (first + 1) % self._networks)})
        return found

    def _name(self) -> str:
        if self._draw.random() < 0.03:
            return self._draw.choice(_HOSTILE)
        return f"{self._draw.choice(_FIRST)} {self._draw.choice(_LAST)}"

    def _language(self) -> str:
        return self._place.language if self._draw.random() < 0.7 else self._draw.choice(("nl", "fr", "de", "en"))

    def _position(self, index: int) -> Line:
        lat, lon = _centre(self._place, index % max(self._networks, 1))
        spread = 1.0 if self._draw.random() < 0.9 else 1.6  # one in ten may live outside the territory
        return {
            "lat": round(lat + self._draw.uniform(-0.004, 0.004) * spread, 7),
            "lon": round(lon + self._draw.uniform(-0.006, 0.006) * spread, 7),
        }

    def _contacts(self, serial: int, index: int) -> list[Line]:
        draw = self._draw
        email = {"type": "email", "value": f"m{serial}@{draw.choice(('example.org', 'post.example', 'Mail.Example'))}"}
        landline = {"type": "landline", "value": f"+32{draw.choice(_AREAS)}{200_000 + serial % 700_000}"}
        mobile = {"type": "mobile", "value": self._mobile(serial, index)}
        ways = draw.random()
        if index and ways < 0.02:
            return []
        if index and ways < 0.10:
            return [email]
        if index and ways < 0.15:
            return [landline, email]
        return [mobile, *([email] if draw.random() < 0.7 else []), *([landline] if draw.random() < 0.15 else [])]

    def _mobile(self, serial: int, index: int) -> str:
        draw = self._draw
        if index == 0:
            return _SHARED_MOBILE
        kind = draw.random()
        if kind < 0.06:  # a household: the number of the member before
            return self._mobile_before
        # A permutation of the seven digits, so that no two members share one by accident; 0 is the shared one's.
        digits = (serial + 1) * 7_368_787 % 10_000_000
        if kind < 0.10:
            return draw.choice(_FOREIGN).format(digits % 1_000_000)
        plain = f"+3247{digits:07d}"
        self._mobile_before = plain
        if kind < 0.30:  # as people write it
            return f"047{plain[5]}/{plain[6:8]}.{plain[8:10]}.{plain[10:]}"
        return plain


def main(arguments: list[str] | None = None, out: TextIO = sys.stdout) -> None:
    parser = argparse.ArgumentParser(prog="python -m loadtest.population", description=__doc__)
    parser.add_argument("--zones", type=int, default=2)
    parser.add_argument("--networks", type=int, default=3, help="in all zones together")
    parser.add_argument("--members", type=int, default=300, help="in all zones together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--centre", action="append", default=[], metavar="LAT,LON", help="one a zone")
    parser.add_argument(
        "--key-salt", default="demonstration", help="the API keys follow from it: not secret by default"
    )
    parser.add_argument("--tokens", metavar="FILE", help="write `account<TAB>token` lines there, for its owner only")
    options = parser.parse_args(arguments)
    centres = [(float(lat), float(lon)) for lat, lon in (text.split(",") for text in options.centre)]
    lines = population(
        zones=options.zones,
        networks=options.networks,
        members=options.members,
        seed=options.seed,
        key_salt=options.key_salt,
        centres=centres,
    )
    for line in lines:
        out.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
    if options.tokens:
        _write_tokens(options.tokens, account_codes(options.zones, options.networks), options.key_salt)


def _write_tokens(path: str, codes: list[str], key_salt: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.writelines(f"{code}\t{token(code, key_salt)}\n" for code in codes)


if __name__ == "__main__":
    main()
