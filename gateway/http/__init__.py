"""The door: HTTP in, use cases, JSON out. Every route stands in one table (`routes`) with the right that it needs.

Forms: instants are RFC 3339 UTC (`sent`, `expires`), money is thousandths of a euro with the same in euro beside it
(`price_millieuro`, `price_eur`), refusals are application/problem+json, pages go on at their `next`.
"""
