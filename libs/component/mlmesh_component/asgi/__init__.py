"""Serves a component that is a web application of its own (ASGI 3): HTTP both ways in pieces, WebSockets, lifespan."""
