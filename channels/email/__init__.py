"""Mail: a letter made once and addressed to each, relays (SMTP), bounces."""
