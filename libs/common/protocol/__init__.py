"""Messages between services: one frozen class each, which both sides use.

A sender builds the class and writes `to_json()`; a receiver reads it with `model_validate`. A receiver ignores fields
that it does not know, so that services of two neighbouring releases understand one another; a new field has a default.
A field with a `serialization_alias` is being renamed: both names are read, and the old one is written for one release.
Only receivers check bounds: of a list they drop the entry that breaks one, and of anything else they say what is wrong.
A sender of values from outside therefore builds with `model_construct`.

docs/internal-messages.md is made from these classes.
"""
