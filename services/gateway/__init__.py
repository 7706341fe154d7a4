"""The API gateway, the only public port: authenticates callers, routes requests and streams bodies both ways.

Owns routing, credential checks, grants and the cached copy of the scheduler's route table on disk. Never parses a body,
reads a database or the bus, or decides what runs: it serves from its route table while the other services are down.
"""
