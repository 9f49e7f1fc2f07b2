"""SMPP 3.4 as a client: octets, sessions, the pump of a bind, receipts."""
