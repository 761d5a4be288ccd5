"""What is plugged in: the fingerprint sensor, its link, and an emulator of it."""
