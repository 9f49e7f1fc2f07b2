"""Who there is and who is concerned: the register in memory, targets to members, the frozen audience.

Knows no alert, no text and no carrier. Everything but `cache` and `seed` is a plain function of values.
"""
