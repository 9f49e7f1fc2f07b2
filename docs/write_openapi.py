"""Writes docs/openapi.json: the API's document, so that a change of the API is seen where it is reviewed.

python docs/write_openapi.py
"""

from pathlib import Path

from gateway.http.door import written_document

(Path(__file__).parent / "openapi.json").write_bytes(written_document())
