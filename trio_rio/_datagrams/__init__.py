"""Datagram channels, one by one and in batches."""
