"""What replaces Trio's I/O manager: one for io_uring, one on Trio's own readiness manager of the platform."""
