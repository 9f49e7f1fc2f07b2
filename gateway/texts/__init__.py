"""From an alert or a composed message to the exact words of each channel and language. Pure; ships no message."""
