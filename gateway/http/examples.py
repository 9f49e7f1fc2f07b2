"""Bodies as the API's document shows them: a test sends each, in a zone 5301 with a network PLP-5301-1."""

MESSAGE = {
    "zone": "5301",
    "kind": "news",
    "title": "Buurtfeest",
    "texts": [
        {
            "language": "nl",
            "sms": "Buurtfeest zaterdag om 14 uur op het plein.",
            "subject": "Buurtfeest",
            "email": "Het buurtfeest is zaterdag om 14 uur op het plein.",
        }
    ],
    "targets": {"networks": ["PLP-5301-1"]},
    "channels": ["sms", "email"],
    "terms_confirmed": True,
}
ALERT = """<?xml version="1.0" encoding="UTF-8"?>
<alert xmlns="urn:oasis:names:tc:emergency:cap:1.2">
  <identifier>example-1</identifier>
  <sender>cic@police.example</sender>
  <sent>2026-11-28T10:15:00+01:00</sent>
  <status>Exercise</status>
  <msgType>Alert</msgType>
  <scope>Private</scope>
  <addresses>plp:PLP-5301-1</addresses>
  <note>Exercise of the network</note>
  <info>
    <language>nl-BE</language>
    <category>Security</category>
    <event>Inbraak</event>
    <urgency>Immediate</urgency>
    <severity>Severe</severity>
    <certainty>Observed</certainty>
    <senderName>Politiezone 5301</senderName>
    <headline>Verdachte bestelwagen</headline>
    <description>Een grijze bestelwagen met drie inzittenden.</description>
    <instruction>Bel 101.</instruction>
    <parameter><valueName>tocsin:kind</valueName><value>alert</value></parameter>
  </info>
</alert>
"""
ACCOUNT = {
    "code": "coordinator-centre",
    "name": "Jo Example",
    "type": "coordinator",
    "email": "jo@network.example",
    "language": "nl",
    "rights": [{"action": "launch", "zone": "5301", "network": "PLP-5301-1", "kind": "news"}],
}
PASSKEY = {
    "credential_id": "kGN1c3RvbQ", "client_data": "eyJ0eXBlIjoid2ViYXV0aG4uZ2V0In0", "authenticator_data": "SZYN5YgO",
    "signature": "MEUCIQ",
}  # fmt: skip
NEW_PASSKEY = {
    "client_data": "eyJ0eXBlIjoid2ViYXV0aG4uY3JlYXRlIn0",
    "attestation": "o2NmbXRkbm9uZQ",
    "name": "Telephone",
}
