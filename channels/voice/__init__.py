"""Voice: what is said in a call, and how long it takes."""
