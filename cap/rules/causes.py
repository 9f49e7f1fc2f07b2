"""Ways to break a rule that are mended in different ways: what was found, and its remedy, with names in the sentence.

The key is the rule and the cause. `{0}`, `{1}` and so on are the facts of a problem, in their order: the same in every
language (catalogues/*.toml), so that a translation says as much as the English.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from cap.problem import Level


class Cause(NamedTuple):
    """What was found, how to mend it, and how bad it is where that differs from the rule's own level."""

    text: str
    remedy: str
    level: Level | None = None


CAUSES: Mapping[str, Cause] = {
    # ---- XML ----
    "XML-WF/before": Cause(
        "something stands before the XML: {0}", "Send what begins with <?xml or <alert, and nothing before it."
    ),
    "XML-WF/after": Cause(
        "something stands behind the end of the document", "Send one document, and nothing behind it."
    ),
    "XML-WF/empty": Cause("there is nothing", "Send the alert as the body of the request."),
    "XML-WF/json": Cause("this is JSON", "Send the alert as XML."),
    "XML-WF/text": Cause("this is no XML: {0}", "Send the alert as XML, without another encoding around it."),
    "XML-WF/ampersand": Cause("an & stands alone", "Write &amp; for &."),
    "XML-WF/entity": Cause("XML does not know &{0};", "Write the character itself, or its number, as &#160;."),
    "XML-WF/closing": Cause("a tag is not closed, or another one is: {0}", "Close every tag, in the order of opening."),
    "XML-WF/prefix": Cause("the prefix {0} is not declared", "Declare it with xmlns:{0}, or leave it out."),
    "XML-WF/bytes": Cause(
        "there are bytes that are no characters of its encoding",
        "Declare the encoding that the document is written in, or write it in UTF-8.",
    ),
    "XML-WF/character": Cause("there is a character that XML cannot hold", "Leave control characters out."),
    "XML-LIMIT/bytes": Cause("{0} bytes; the limit is {1}", "Split the alert, or link its files instead."),
    "XML-LIMIT/elements": Cause("more than {0} elements", "Split the alert: fewer areas, codes or languages in each."),
    "XML-LIMIT/children": Cause("an element with more than {0} children", "Split the alert, or its areas."),
    "XML-LIMIT/attributes": Cause("more than {0} attributes", "Leave attributes out; CAP has none of its own."),
    "XML-LIMIT/infos": Cause("more than {0} infos", "Split the alert."),
    "XML-LIMIT/areas": Cause("more than {0} areas", "Split the alert, or put the codes of one text into fewer areas."),
    "XML-LIMIT/points": Cause("more than {0} polygon points", "Simplify the shapes, or split the alert."),
    "XML-LIMIT/list": Cause("a list of more than {0} characters", "Name fewer, or split the message."),
    "XML-LIMIT/depth": Cause("the parser stops here: {0}", "Nest elements as CAP does, and shorten the longest text."),
    # ---- what it is instead of an alert ----
    "NS/feed": Cause(
        "this is a feed ({0}), not an alert", "Send each alert of it by itself: follow the link of each entry."
    ),
    "NS/list": Cause("this is a list, <{0}>; alerts in it: {1}", "Send each <alert> by itself."),
    "NS/envelope": Cause(
        "this is an EDXL-DE {0} envelope; alerts in it: {1}", "Take the <alert> out of it, and send that."
    ),
    "NS/wrapped": Cause("the alert stands inside of <{0}>", "Send the <alert> alone."),
    "NS/page": Cause("this is a web page", "Check the address that the alert was fetched from."),
    "NS/old": Cause(
        "this is CAP {0}, which is not read from this sender", "Send CAP 1.2, or have CAP {0} agreed for this sender."
    ),
    "NS/stranger": Cause(
        "the document element is <{0}>, which is none of CAP",
        'Send an <alert xmlns="urn:oasis:names:tc:emergency:cap:1.2">.',
    ),
    "ROOT/list": Cause("this is a list, <{0}>; alerts in it: {1}", "Send each <alert> by itself."),
    "ROOT/case": Cause("the document element is <{0}>", "Write <alert>, in small letters."),
    # ---- elements ----
    "XSD/place": Cause("{0} stands behind {1}", "Move <{0}> up: it belongs before <{1}>."),
    "XSD/early": Cause("{0} stands before {1}", "Move <{0}> down: it belongs behind <{1}>."),
    "XSD/elsewhere": Cause("{0} stands in {1}", "Move <{0}> into <{2}>."),
    "XSD/spelling": Cause("CAP knows no {0} in {1}", "Write <{2}>."),
    "XSD/unknown": Cause(
        "CAP knows no {0} in {1}", "Leave <{0}> out; what is your own goes into a <parameter> of the info."
    ),
    "XSD/missing": Cause("{1} has no {0}", "Add <{0}> behind <{2}>."),
    "XSD/missing-first": Cause("{1} has no {0}", "Add <{0}> as the first element of <{1}>."),
    "XSD/twice": Cause("{0} stands {1} times in {2}", "Keep one <{0}>."),
    "XSD/word": Cause("the {1} is none of the words for it: {0}", "Write one of {2}."),
    "XSD/word-like": Cause("the {1} is none of the words for it: {0}", "Write {2}, exactly so."),
    "XSD/namespace": Cause(
        "{0} is in {1}, and not in that of CAP 1.2", "Declare the namespace of CAP 1.2 once, on <alert>, for all."
    ),
    "XSD/text": Cause("text stands between the elements of {0}: {1}", "Put the text into an element, or leave it out."),
    # ---- values ----
    "G-POLY-RANGE/latitude": Cause(
        "the latitude {1} of point {0} is {2} degrees beyond 90", "Check the point: latitude first, in degrees."
    ),
    "G-POLY-RANGE/longitude": Cause(
        "the longitude {1} of point {0} is {2} degrees beyond 180", "Write it as {3}, or check the point."
    ),
    "G-POLY-RANGE/swapped": Cause(
        "point {0} has {1} for a latitude: its longitude seems to stand first", "Write latitude first, as {2}."
    ),
    "G-CIRC-RANGE/latitude": Cause(
        "the latitude {0} of the centre is {1} degrees beyond 90", "Check the centre: latitude first, in degrees."
    ),
    "G-CIRC-RANGE/longitude": Cause(
        "the longitude {0} of the centre is {1} degrees beyond 180", "Write it as {2}, or check the centre."
    ),
    "G-CIRC-RANGE/swapped": Cause(
        "the centre has {0} for a latitude: its longitude seems to stand first", "Write latitude first, as {1}."
    ),
    "G-POLY-SELFX/unchecked": Cause(
        "not checked: the alert has too many points",
        "Nothing to mend; simplify the polygon if it is to be checked.",
        Level.INFORMATION,
    ),
    "G-DESC/shape": Cause(
        "the description is blank, and the {0} says where", "Say in words where it is.", Level.WARNING
    ),
    "I-EVENT/told": Cause(
        "the event is blank, and the {0} says what happens", "Say in a word or two what happens.", Level.WARNING
    ),
    "G-GEO-EMPTY/nothing": Cause("a geocode says nothing", "Leave it out, or write its list and its code."),
    "G-GEO-EMPTY/code": Cause("the {0} code is blank", "Write the code, or leave the geocode out."),
}
