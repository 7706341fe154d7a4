"""The component runtime: serves one Python function over HTTP inside the developer's own image or process.

Owns the HTTP server, the schema of the function, the conversion of items, the model and the files of a call.
Runs on any CPython from 3.9 with the standard library alone; uses orjson, httptools and uvloop where they are
installed. Never imports the platform, never installs packages, never writes outside of the temporary directory.
"""

from __future__ import annotations

__version__ = "0.1.0"
