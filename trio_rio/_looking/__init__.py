"""Looking inside: what runs tell while they run, to people and programs that ask. Off unless it is asked for."""
