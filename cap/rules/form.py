"""Rules seen before there are values: by the parser, the schema, the signature's place, or while a text is read."""

from __future__ import annotations

from cap.rules.row import Rule, error, information, warning

# CAP-v1.2 4.2: a message is valid XML by the schema and obeys everything else that section 3 says is mandatory.
OURS = "policy"

FORM: tuple[Rule, ...] = (
    error("FILE", OURS, "The file can be read.", "Name a file that exists and may be read, or - for standard input."),
    error(
        "XML-WF", "4.2", "The document is well-formed XML.", "Close every tag, escape & and <, declare the encoding."
    ),
    error("XML-DTD", OURS, "The document has no DOCTYPE.", "Leave the DOCTYPE out; CAP has no entities of its own."),
    error("XML-ENC", OURS, "The encoding is a usual one.", "Write the document in UTF-8."),
    error(
        "XML-LIMIT", OURS, "The document keeps within the limits of size.", "Split the alert, or simplify its shapes."
    ),
    error(
        "NS",
        "4.2",
        "The namespace is that of CAP 1.2.",
        'Write xmlns="urn:oasis:names:tc:emergency:cap:1.2" on <alert>.',
    ),
    information(
        "NS-OLD",
        OURS,
        "An older version of CAP is read where the sender's terms allow it.",
        "Send CAP 1.2 when you can.",
    ),
    error("ROOT", "4.2", "The document element is alert.", "Send the <alert> alone, without a feed or an envelope."),
    error("XSD", "3.4", "The document follows the schema.", "Compare the elements and their order with section 3.2."),
    error(
        "DT-FORM",
        "3.3.2",
        "A time is written YYYY-MM-DDThh:mm:ss+hh:mm.",
        "Write whole seconds and the offset from UTC, as in 2026-03-01T14:05:00+01:00.",
    ),
    error("DT-Z", "3.3.2", "A time zone is an offset, never a letter.", "Write -00:00 for UTC instead of Z."),
    error("DT-RANGE", "3.3.2", "A time exists.", "Check day, hour, second (to 59) and offset (to 14:00)."),
    error(
        "A-REFS-LEX",
        "3.2.1 references",
        "References are sender,identifier,sent triples between white space.",
        "Copy the three elements of each earlier message, joined by commas, without spaces.",
    ),
    error(
        "A-ADDR-LEX",
        "3.2.1 addresses",
        "Addresses stand between white space, in double quotes if they hold spaces.",
        "Close every double quote; put quotes around whole addresses only.",
    ),
    warning(
        "A-INCID-LEX",
        "3.2.1 incidents",
        "Incidents stand between white space, in double quotes if they hold spaces.",
        "Close every double quote; put quotes around whole names only.",
    ),
    warning(
        "R-SIZE",
        "3.2.3 size",
        "A size is a whole number of bytes, not negative.",
        "Write the size in bytes, or leave it out.",
    ),
    error(
        "G-POLY-LEX",
        "3.2.4 polygon",
        "A polygon is lat,lon pairs in decimal degrees between white space.",
        "Write each point as 51.10,3.98: a decimal point, a comma, no space inside, no degree signs, no exponent.",
    ),
    error(
        "G-CIRC-LEX",
        "3.2.4 circle",
        "A circle is lat,lon, a space, and a radius in kilometres.",
        "Write it as 51.10,3.98 2.5 in plain decimals.",
    ),
    warning(
        "G-ALT-LEX",
        "3.2.4 altitude",
        "A height is a decimal number.",
        "Write feet above mean sea level, without a unit.",
    ),
    error(
        "S-PLACE",
        "3.3.4.1",
        "A signature is enveloped in alert and stands after everything else.",
        "Sign the finished alert, so that ds:Signature is the last child of <alert>.",
    ),
    error(
        "S-CHILD",
        OURS,
        "Of XML signature, alert holds ds:Signature only.",
        "Remove the other ds: elements from <alert>.",
    ),
    warning(
        "S-COUNT", OURS, "There is one signature.", "Sign once; a verifier can bind its trust to one signature only."
    ),
    information(
        "S-UNVERIFIED",
        "3.3.4.1",
        "A signature is carried, not verified.",
        "Nothing to mend: the sender is known by how it logged in.",
    ),
    # What was found of a signature by who checked it: the sender's terms decide whether it refuses.
    warning(
        "S-ABSENT", OURS, "A sender who signs signs every alert.", "Sign the alert with the certificate agreed on."
    ),
    warning(
        "S-SHAPE",
        OURS,
        "A signature is one that can be verified: over the whole alert, once, and nothing unsigned in it.",
        "Sign the finished alert once, enveloped, with an empty URI, and change nothing afterwards.",
    ),
    warning(
        "S-METHOD",
        OURS,
        "A signature is made with RSA or ECDSA and SHA-256 or better.",
        "Sign with SHA-256 and a key of RSA from 2048 bits or ECDSA from 256 bits.",
    ),
    warning(
        "S-TRUST",
        OURS,
        "A signature is made with a certificate that is agreed on with the sender and is valid.",
        "Sign with the certificate agreed on, or have the new one entered for this sender.",
    ),
    error(
        "S-BROKEN",
        "3.3.4.1",
        "A signature matches the alert.",
        "Sign again after the last change: even another indentation breaks a signature.",
    ),
    information("MORE", OURS, "Every problem is listed.", "Mend those that are, and check again."),
)
