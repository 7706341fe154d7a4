"""The developer's function: its schema, the conversion of items, files, the model, and the executors that call it."""
