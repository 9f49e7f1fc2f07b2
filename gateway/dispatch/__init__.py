"""From the outbox to the carriers and back: lanes, outcomes, receipts, expansion and housekeeping."""
