"""HTTP routes. Each one parses the request, calls one dependency, and builds the response."""
