"""Rules for manifests: files in, a catalog and problems out. Pure: no I/O, no database."""
