"""How a message leaves: SMS by SMPP, e-mail by SMTP, calls by a PBX, and simulated carriers of all three.

Knows media and carriers, not campaigns, members or databases.
"""
