"""RIO on io_uring."""
