"""Secret values at rest, tokens, and the authentication of a token. Never logs a value."""
