"""Wrong bytes for everything that reads untrusted bytes. `python -m tests.fuzz --help` explains the long run."""
