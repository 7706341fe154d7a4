"""HTTP: each module is one noun of the API. Routes check scopes, open transactions and render; they decide nothing."""
