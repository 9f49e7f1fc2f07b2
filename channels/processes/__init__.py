"""Carriers in processes of their own: what the gateway's process and theirs say to each other, and who ends whom."""
