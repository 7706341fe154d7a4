"""Boxes, the files in them and their quotas, links to them, and logs kept as files.

Owns the store's keys and the `databox_` tables. Never knows what a run or a component is, never starts anything,
and never decides who may call: the gateway says whose files a call is about.
"""
