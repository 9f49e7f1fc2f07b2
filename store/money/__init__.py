"""Prepaid money by double entry: lots, reservations, balances, and their recount."""
