"""A paper code: made, read however it was typed, and printed as a sheet to be sealed. Pure, but for chance."""

import hashlib
import secrets
import textwrap

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Without I, L, O and U: what is read aloud or copied by hand is not mistaken."""
_GROUPS, _GROUP = 6, 4
_MEANT = str.maketrans("OIL", "011")
_WIDTH = 78


def new_code() -> str:
    """A code of 120 random bits, in groups."""
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(_GROUPS * _GROUP))
    return "-".join(letters[at : at + _GROUP] for at in range(0, len(letters), _GROUP))


def code_sha256(typed: str) -> str:
    """What is kept of a code, hexadecimal: of its letters and digits, however they were typed."""
    meant = "".join(letter for letter in typed.upper() if letter.isalnum()).translate(_MEANT)
    return hashlib.sha256(meant.encode(errors="replace")).hexdigest()


_TEXTS = (
    (
        "Nederlands",
        "Noodcode. Enkel als niemand van de zone zich kan aanmelden en het niet kan wachten.",
        "Open{where}, kies de noodcode, en typ de zone, deze code, uw naam en waarom.",
        "U kunt dan een uur verwittigen en stoppen. Alle beheerders horen het meteen. De code geldt één keer, ook in"
        " een oefening: laat daarna een nieuwe maken.",
    ),
    (
        "Français",
        "Code d'urgence. Seulement si personne de la zone ne peut se connecter et que cela ne peut attendre.",
        "Ouvrez{where}, choisissez le code d'urgence, et tapez la zone, ce code, votre nom et pourquoi.",
        "Vous pouvez alors alerter et arrêter pendant une heure. Tous les administrateurs l'apprennent aussitôt. Le"
        " code vaut une fois, même en exercice : faites-en faire un nouveau ensuite.",
    ),
    (
        "Deutsch",
        "Notfallcode. Nur wenn sich niemand der Zone anmelden kann und es nicht warten kann.",
        "Öffnen Sie{where}, wählen Sie den Notfallcode, und tippen Sie die Zone, diesen Code, Ihren Namen und warum.",
        "Sie können dann eine Stunde lang alarmieren und anhalten. Alle Verwalter erfahren es sofort. Der Code gilt"
        " einmal, auch in einer Übung: lassen Sie danach einen neuen machen.",
    ),
    (
        "English",
        "Paper code. Only if nobody of the zone can sign in and it cannot wait.",
        "Open{where}, choose the paper code, and type the zone, this code, your name and why.",
        "You can then alert and stop for an hour. All administrators are told at once. The code is good once, also in a"
        " rehearsal: have a new one made afterwards.",
    ),
)
_GATEWAY = {"Nederlands": "de gateway", "Français": "la passerelle", "Deutsch": "das Gateway", "English": "the gateway"}


def sheet(zone: str, code: str, issued: str, address: str) -> str:
    """The sheet to print, seal in an envelope and keep where the zone's officers find it. `issued`: the day; `address`:
    where the gateway is for people, empty where that is not set."""
    rule = "=" * _WIDTH
    lines = [rule, "TOCSIN".center(_WIDTH).rstrip(), f"{zone}   {issued}".center(_WIDTH).rstrip(), rule, ""]
    lines += [code.center(_WIDTH).rstrip(), ""]
    for language, *sentences in _TEXTS:
        where = f" {address}/sign-in" if address else f" {_GATEWAY[language]}"
        lines += ["", f"{language}:", *_wrapped(" ".join(sentences).format(where=where))]
    return "\n".join([*lines, "", rule])


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
