"""What the platform itself tells people, and the alarms that it raises, as they are kept."""
