"""Makes CAP documents for tests: one good base, and changes to it. The texts are this project's own."""

from __future__ import annotations

BASE = """<?xml version="1.0" encoding="UTF-8"?>
<alert xmlns="urn:oasis:names:tc:emergency:cap:1.2">
  <identifier>cic-042.2026:17</identifier>
  <sender>dispatch@zone-a.example</sender>
  <sent>2026-05-11T21:40:00+02:00</sent>
  <status>Actual</status>
  <msgType>Alert</msgType>
  <scope>Public</scope>
  <code>profile-x</code>
  <info>
    <language>fr-BE</language>
    <category>Safety</category>
    <category>Rescue</category>
    <event>Personne disparue</event>
    <responseType>Monitor</responseType>
    <urgency>Expected</urgency>
    <severity>Severe</severity>
    <certainty>Likely</certainty>
    <eventCode><valueName>KIND</valueName><value>missing</value></eventCode>
    <effective>2026-05-11T21:40:00+02:00</effective>
    <onset>2026-05-11T20:00:00+02:00</onset>
    <expires>2026-05-12T06:00:00+02:00</expires>
    <senderName>Zone A</senderName>
    <headline>Un homme de 71 ans, parti à pied</headline>
    <description>Veste rouge, canne.</description>
    <instruction>Appelez le 101 si vous le voyez.</instruction>
    <web>https://zone-a.example/avis/17</web>
    <contact>101</contact>
    <parameter><valueName>tocsin:kind</valueName><value>alert</value></parameter>
    <resource>
      <resourceDesc>photo</resourceDesc>
      <mimeType>image/png</mimeType>
      <size>3</size>
      <uri>https://zone-a.example/17.png</uri>
    </resource>
    <area>
      <areaDesc>Le bois et ses abords</areaDesc>
      <polygon>50.45,4.10 50.47,4.10 50.47,4.14 50.45,4.14 50.45,4.10</polygon>
      <circle>50.46,4.12 1.5</circle>
      <geocode><valueName>NIS5</valueName><value>55085</value></geocode>
      <altitude>120</altitude>
      <ceiling>300.5</ceiling>
    </area>
  </info>
</alert>
"""

INFO = BASE[BASE.index("  <info>") : BASE.index("</alert>")]
POLYGON = "50.45,4.10 50.47,4.10 50.47,4.14 50.45,4.14 50.45,4.10"
TRIPLE = "dispatch@zone-a.example,cic-042.2026:16,2026-05-11T20:30:00+02:00"
SIGNATURE = '<Signature xmlns="http://www.w3.org/2000/09/xmldsig#"><SignedInfo/></Signature>'


def changed(*changes: tuple[str, str], document: str = BASE) -> bytes:
    """The document with each text replaced, once; a text that is not there is a fault of the test."""
    for old, new in changes:
        assert old in document, old
        document = document.replace(old, new, 1)
    return document.encode()


def element(name: str, text: str, document: str = BASE) -> bytes:
    """The document with the text of its first element of this name replaced."""
    start = document.index(f"<{name}>") + len(name) + 2
    end = document.index(f"</{name}>", start)
    return (document[:start] + text + document[end:]).encode()


def inserted(markup: str, *, before: str, document: str = BASE) -> bytes:
    """The document with something more in it, ahead of the first `before`."""
    return changed((before, markup + before), document=document)
