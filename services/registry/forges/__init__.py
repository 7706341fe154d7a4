"""What each forge sends, and how it is told of commits. Pure: never looks anything up.

forge_table.py        one row a forge, the most specific first
incoming_delivery.py  a delivery as it came: headers and body
proofs.py             signatures and tokens, judged against the webhook's secret
pushes.py             each form of a push as changes of refs
parsed_delivery.py    a delivery as the registry acts on it
refusals.py           which check failed, and what to set
commit_status.py      what a forge is told of a commit
status_apis.py        one row a forge: states, address, token and body of a commit status
repository_address.py a repository at its forge's web server; forges that their host tells
api_locations.py      where each forge takes a status
access_tokens.py      how each forge wants a token
annotations.py        how a forge shows errors at their lines
status_answers.py     what a forge's answer means
"""
