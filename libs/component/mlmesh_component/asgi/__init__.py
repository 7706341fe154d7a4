"""ASGI 3 server for a component that is a web application: streamed HTTP, WebSockets, lifespan."""
