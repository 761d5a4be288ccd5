"""Agreement between kiosks: the wire, the fold, the client and the hub."""
