"""Callbacks (webhooks) of runs: events, signatures, and their delivery with retries. A run never waits for them."""
