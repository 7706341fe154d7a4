"""Templates of module repositories: one folder each, with `template.yml` and the files of the repository.

Nothing of a template runs when it is used: its files are texts with placeholders.
"""
