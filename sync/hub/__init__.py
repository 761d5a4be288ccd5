"""The sync server: an ordered log per room, and everybody who follows it."""
