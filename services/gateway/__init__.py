"""The one public port: says who is calling, finds what is called, and passes bytes on in both directions.

Owns the routes, credentials' checks, grants and the copy of the scheduler's table on disk. Never reads a body, a
database or the bus, and never decides what runs: it serves on from its table while the other services are away.
"""
