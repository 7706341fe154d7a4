"""The command line, against real HTTP, real files and real processes."""
