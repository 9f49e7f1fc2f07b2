"""The queue of deliveries: claimed in batches, fenced, paced, settled; receipts, and what is in doubt."""
