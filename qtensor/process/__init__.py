"""This process: its threads, its cores, its memory."""
