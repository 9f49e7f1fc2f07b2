"""What an operator has in hand: status, backups, logs, doubts about the settings, and how a process is run."""
