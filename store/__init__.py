"""What is kept: tables, migrations and every line of SQL of the project, on SQLite and on PostgreSQL alike.

Knows no CAP, no carrier and no HTTP. Instants are integer milliseconds UTC, money integer thousandths of a euro.
"""
