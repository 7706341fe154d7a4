"""uvicorn's HTTP/1.1 protocol with a leaner request cycle and with limits for hostile callers."""
