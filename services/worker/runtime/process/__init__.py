"""The runtime without an engine: subprocesses of this host, with virtual environments instead of images."""
