"""HTTP of the services: the `client` of the others, the `app` that each is built on, and the `server` that runs it.

Knows nothing of apps or runs. The gateway has its own client for calls of components, where every microsecond counts.
"""
