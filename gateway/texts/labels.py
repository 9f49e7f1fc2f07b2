"""The few words of ours that stand around a sender's text: labels, never a message.

One row a language; a text in a language without a row is labelled in English.
"""

import msgspec

from gateway.texts.language import primary


class Labels(msgspec.Struct, frozen=True):
    more: str
    """Before the place where the rest of a shortened text is."""
    where: str
    contact: str
    update: str
    cancelled: str
    exercise: str
    test: str
    opening: str
    """Who calls; holds `{sender}`."""
    menu: str
    """Which keys the telephone listens to."""


_LABELS = {
    "nl": Labels(
        more="Meer",
        where="Waar",
        contact="Contact",
        update="Update",
        cancelled="Ingetrokken",
        exercise="OEFENING",
        test="TEST",
        opening="Bericht van {sender}",
        menu="Druk 1 om te bevestigen, druk 2 om opnieuw te luisteren",
    ),
    "fr": Labels(
        more="Plus",
        where="Où",
        contact="Contact",
        update="Mise à jour",
        cancelled="Annulé",
        exercise="EXERCICE",
        test="TEST",
        opening="Message de {sender}",
        menu="Appuyez sur 1 pour confirmer, sur 2 pour réécouter",
    ),
    "de": Labels(
        more="Mehr",
        where="Wo",
        contact="Kontakt",
        update="Aktualisierung",
        cancelled="Aufgehoben",
        exercise="ÜBUNG",
        test="TEST",
        opening="Nachricht von {sender}",
        menu="Drücken Sie 1 zum Bestätigen, 2 um die Nachricht erneut zu hören",
    ),
    "en": Labels(
        more="More",
        where="Where",
        contact="Contact",
        update="Update",
        cancelled="Cancelled",
        exercise="EXERCISE",
        test="TEST",
        opening="Message from {sender}",
        menu="Press 1 to confirm, press 2 to hear it again",
    ),
}


def labels(language: str) -> Labels:
    """The labels for a text in this language (BCP 47)."""
    return _LABELS.get(primary(language), _LABELS["en"])
