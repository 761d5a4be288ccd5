"""The root of what this package raises for people: the text is always one plain line.

KioskError
+-- ConfigError          the settings cannot be used
+-- DirectoryError       the hub did not take people or sessions
|   +-- BadRowsError     a file of people has bad rows; nothing was imported
+-- NoConsentError       the person said no to enrolment
+-- DemoError            the demo could not go on
+-- StoreError           the database (its branches: kiosk.storefile)
"""

from __future__ import annotations


class KioskError(Exception):
    """Something a volunteer can be told in one line."""
