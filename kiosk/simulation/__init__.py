"""A hub, kiosks, people and all that goes wrong between them, played on virtual time from a seed.

The stores, the line, the hub and the log are the real ones on real SQLite files. Only time,
threads, the network, chance and the power are replaced, so that a seed plays the same day again.
"""
