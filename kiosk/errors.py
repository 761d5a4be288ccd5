"""The root of what this package raises for people: the text is always one plain line.

KioskError
+-- ConfigError          the settings cannot be used
+-- BadgeError           a pepper of badges cannot be used
+-- DirectoryError       the hub did not take people or sessions
|   +-- BadRowsError     a file of people has bad rows; nothing was imported
|   +-- RefusedError     the hub does not take this kiosk as the device it is
+-- PairingError         a hub did not pair this kiosk, or the pairing cannot be used
+-- NoConsentError       the person said no to enrolment
+-- KnownFingerError     the finger to be enrolled is in the reader already
+-- FailureToEnrolError  no template could be made of the finger
+-- ControlError         a running kiosk could not do what a command asked
+-- DemoError            the demo could not go on
+-- VaultError           keys and seals of templates (its branches: kiosk.vault)
+-- TemplatesError       kept templates (its branches: kiosk.templates)
+-- BundleError          a file of exported templates cannot be used
+-- DeviceKeyError       the key that this device signs with cannot be used
+-- CarryError           a file of carried events cannot be made or used
+-- HandoverError        a file of people and sessions cannot be made or used
+-- StoreError           the database (its branches: kiosk.storefile)
"""

from __future__ import annotations


class KioskError(Exception):
    """Something a volunteer can be told in one line."""
