"""Who may come in and what they may do, as it is kept: accounts, keys, rights."""
