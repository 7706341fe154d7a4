"""The real servers that the tests talk to.

Owns finding or installing them, starting each once per run on a free loopback port in a temporary folder, and stopping
them whatever happens. Knows nothing of the product; no test lives here.

A server comes from an address in the environment, else an installed program, else an installation (root on Debian, Go),
else a Docker image. `python -m tests.servers up postgres rabbitmq` starts some by hand.
"""
