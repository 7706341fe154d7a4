"""Request handlers, one module for each kind of route.

They authenticate the caller and say where the request goes; `proxy` and `predict` carry it there.
"""
