"""What each forge sends: how its deliveries are recognised, proven and read. Pure: never looks anything up.

forge_table.py        one row a forge, the most specific first
incoming_delivery.py  a delivery as it came: headers and body
proofs.py             signatures and tokens, judged against the webhook's secret
pushes.py             each form of a push as changes of refs
parsed_delivery.py    a delivery as the registry acts on it
refusals.py           which check failed, and what to set
"""
