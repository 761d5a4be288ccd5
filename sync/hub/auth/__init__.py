"""Who may do what at a hub: secrets, pairing, tokens, staff, and one gate for every transport.

`keys` and `register` are files beside the hub's database, `passes` are the tokens, `grants` what
they allow (pure), `limits` how often one may try (pure), `gate` the one place that judges, and
`routes` the requests by which a token is got, renewed and taken away.
"""
