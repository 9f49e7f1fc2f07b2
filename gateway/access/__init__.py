"""Who may do what: accounts, keys and rights. Deny by default."""
