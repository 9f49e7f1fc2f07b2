"""Alerts and campaigns: launched, read, cancelled, ended and sealed."""
