"""Public alerts as a free feed: what is in force, its changes, and the bytes of each format."""
