"""The socket class that Trio's functions make, and what it needs."""
