"""The engines below the store: connections, transactions, prepared statements, migrations; no table is named here."""
