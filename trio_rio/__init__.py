"""Trio on Registered I/O completion queues."""
