"""The HTTP API of a function component: authentication, routes, codecs and its OpenAPI description."""
