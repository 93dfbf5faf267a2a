"""Wrong bytes for everything that reads bytes which nobody vouches for. `python -m tests.fuzz --help` runs it long."""
