"""The kiosk's line to a hub: drains the outbox, catches up, and reconnects for ever."""

from sync.client.line import SyncClient
from sync.client.pacing import Pacing

__all__ = ["Pacing", "SyncClient"]
