"""The campaign's account: every person and every cent, recounted from rows, live from the first second and sealed at
the end. Knows no HTTP and no carrier."""
