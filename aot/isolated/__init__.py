"""What strangers made, run in a process of its own."""
