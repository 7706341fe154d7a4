"""HTTP/1.1 and WebSocket frames on the standard library: parsers, connections, server. Knows nothing of functions."""
