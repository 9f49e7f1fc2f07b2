"""Money as a decimal number for people. Exact: integers in, text out. Pure."""


def eur(millieuro: int) -> str:
    """An amount in euro: `0.055` of 55 thousandths of a euro."""
    sign = "-" if millieuro < 0 else ""
    return f"{sign}{abs(millieuro) // 1000}.{abs(millieuro) % 1000:03}"
