"""SMS: texts counted and cut into segments, numbers, and the SMPP client."""
