"""Messages between services: one frozen class each, which both sides use.

A sender builds the class and writes `to_json()`; a receiver reads it with `model_validate`. A receiver ignores fields
that it does not know, so that services of two neighbouring releases understand one another; a new field has a default.
docs/internal-api.md is written from these classes.
"""
