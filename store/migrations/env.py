"""Alembic's entry: the connection is handed over by `store.schema`, there is no ini file."""

from alembic import context

from store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite cannot alter a column in place: Alembic makes the table anew.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
