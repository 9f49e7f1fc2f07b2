"""What it costs: prices, prepaid lots, reservations. Amounts are integers of millieuro."""
