"""`python -m gateway` is the `tocsin` command."""

from gateway.cli import app

app()
