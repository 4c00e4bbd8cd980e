"""Byte streams: the stream, its leases, listeners, and opening them."""
