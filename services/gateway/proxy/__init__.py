"""The HTTP/1.1 reverse proxy: requests in, a connection pool to upstreams, responses out, streaming both ways.

Knows neither apps nor the route table, and checks no credentials.
"""
