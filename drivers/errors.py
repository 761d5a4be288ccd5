"""Everything that can go wrong with a sensor, as one tree of exceptions.

SensorError
    TransportError: Disconnected, ResponseTimeout, PortBusy, PortMissing, PortForbidden,
        NotSerial, Cancelled
    ProtocolError: ChecksumError, FrameError, UnexpectedReply
    ConfirmationError (the module answered, with a code that is not 00):
        NoFinger, ImageQuality (TooDry, TooWet, TooMessy, TooFewFeatures), EnrolMismatch,
        TemplateNotFound, SlotOutOfRange, LibraryFull, WrongPassword, PasswordRequired,
        FlashError, SensorFaulty, Refused (ModelUnknown)
    BindingError: SensorIdentityMismatch, LibraryMismatch
    TemplateError: TemplateFormatMismatch, TemplateNotKept
    EnrolmentError: AlreadyEnrolled, SlotInUse, EnrolmentUnverified, EnrolmentTimeout
"""
# ruff: noqa: N818 - a condition ("Disconnected", "NoFinger") needs no "Error" to be understood

from __future__ import annotations

from typing import ClassVar, Literal

from drivers import codes, profiles

Quality = Literal["dry", "wet", "smudged", "partial", "lifted"]
Mismatch = Literal["blank", "foreign", "behind", "ahead", "weak"]


class SensorError(Exception):
    """Root of the tree; `sentence` and `advice` are for a volunteer, `str()` for the log."""

    sentence: ClassVar[str] = "The fingerprint reader has a problem."
    advice: ClassVar[str] = "Unplug the reader, plug it in again and wait ten seconds."

    def __str__(self) -> str:
        return super().__str__() or type(self).sentence


# -- transport -------------------------------------------------------------------------------------


class TransportError(SensorError):
    """The bytes did not get through."""


class Disconnected(TransportError):
    """The port vanished or failed while it was open."""

    sentence = "The fingerprint reader was unplugged."
    advice = "Plug the reader's cable in again."


class ResponseTimeout(TransportError):
    """No reply, or only a part of one, within its deadline."""

    sentence = "The fingerprint reader does not answer."


class PortBusy(TransportError):
    """Another program holds the port."""

    sentence = "Another program is using the fingerprint reader."
    advice = "Close the other program, or restart this computer."


class PortMissing(TransportError):
    """There is no such port."""

    sentence = "No fingerprint reader is plugged in."
    advice = "Plug the reader in, or check the port in the settings."


class PortForbidden(TransportError):
    """This user may not open the port."""

    sentence = "This kiosk is not allowed to use the fingerprint reader."
    advice = "Ask whoever set this computer up to add its user to the group `dialout`."


class NotSerial(TransportError):
    """What the settings name is there, but is a file or another kind of device."""

    sentence = "This is not a serial port."
    advice = "Correct the port in the settings; readers are listed in /dev/serial/by-id."


class Cancelled(TransportError):
    """The exchange was ended from another thread; the link is suspect afterwards."""

    sentence = "The reading was stopped."
    advice = "Start again when you are ready."


# -- protocol --------------------------------------------------------------------------------------


class ProtocolError(SensorError):
    """Bytes came, but not the reply that was asked for."""

    sentence = "The fingerprint reader's answer could not be understood."
    advice = "Check that the reader's cable sits tight, then try again."


class ChecksumError(ProtocolError):
    """A frame of the right shape whose checksum is wrong."""


class FrameError(ProtocolError):
    """A header followed by what cannot be a frame."""


class UnexpectedReply(ProtocolError):
    """A sound frame of the wrong kind, from the wrong address, or of the wrong length."""


# -- confirmation codes ----------------------------------------------------------------------------


class ConfirmationError(SensorError):
    """The module refused; `code` is its confirmation code (ZFM-20 manual, 6.4)."""

    def __init__(self, code: int, detail: str = "") -> None:
        self.code = code
        super().__init__(detail or f"{type(self).__name__}: confirmation code {code:#04x}")


class NoFinger(ConfirmationError):
    """Nothing lies on the sensor."""

    sentence = "No finger was found."
    advice = "Place a finger flat on the reader."


class ImageQuality(ConfirmationError):
    """A finger was there, but not a usable image of it; `quality` says how."""

    quality: ClassVar[Quality] = "lifted"
    sentence = "The finger was lifted too soon."
    advice = "Keep the finger still on the reader until it is read."


class TooDry(ImageQuality):
    quality = "dry"
    sentence = "The finger is too dry."
    advice = "Breathe on the fingertip, then press a little harder."


class TooWet(ImageQuality):
    quality = "wet"
    sentence = "The finger is too wet."
    advice = "Dry the finger and the glass, then try again."


class TooMessy(ImageQuality):
    quality = "smudged"
    sentence = "The picture of the finger is smudged."
    advice = "Wipe the glass with a dry cloth and keep the finger still."


class TooFewFeatures(ImageQuality):
    quality = "partial"
    sentence = "Too little of the finger was seen."
    advice = "Put the finger flat on the middle of the glass."


class EnrolMismatch(ConfirmationError):
    """The two placements do not belong to one finger."""

    sentence = "The two readings do not match."
    advice = "Use the same finger, placed the same way, both times."


class TemplateNotFound(ConfirmationError):
    """The slot holds no template that can be read."""

    sentence = "This fingerprint is not in the reader."
    advice = "Enrol the finger again."


class SlotOutOfRange(ConfirmationError):
    """The slot lies beyond the library's end."""

    sentence = "The fingerprint reader has no such place."
    advice = "Tell whoever looks after this kiosk."


class LibraryFull(ConfirmationError):
    """No slot is free."""

    sentence = "The fingerprint reader is full."
    advice = "Remove people who have left, then enrol again."


class WrongPassword(ConfirmationError):
    """The module has another password."""

    sentence = "The fingerprint reader wants another password."
    advice = "Check the reader's password in the settings."


class PasswordRequired(ConfirmationError):
    """No password was verified since the module started: it has restarted by itself."""

    sentence = "The fingerprint reader has restarted."
    advice = "Wait a few seconds; it is being set up again."


class FlashError(ConfirmationError):
    """The module could not write or clear its flash."""

    sentence = "The fingerprint reader could not save."
    advice = "Try once more; if it fails again the reader must be replaced."


class SensorFaulty(ConfirmationError):
    """The module's own check says that its sensor is broken (R503: 0x29, 0xFD)."""

    sentence = "The fingerprint reader is broken."
    advice = "Let people in by code, and have the reader replaced."


class Refused(ConfirmationError):
    """Any other code."""

    sentence = "The fingerprint reader refused."
    advice = "Try again; if it keeps refusing, tell whoever looks after this kiosk."


class ModelUnknown(Refused):
    """The module has no ReadSysPara (R308), and nobody said which model it is."""

    sentence = "This fingerprint reader does not say which model it is."
    advice = "Ask whoever set this kiosk up to name the reader's model in the settings."


# -- binding ---------------------------------------------------------------------------------------


class BindingError(SensorError):
    """The sensor works, but it is not the one, or not in the state, that the records speak of."""


class SensorIdentityMismatch(BindingError):
    """This is not the sensor, or not the library, that the records speak of; `why` says how.

    `blank`: no stamp; `foreign`: another stamp; `behind` and `ahead`: our stamp, but the library
    is older or newer than the records; `weak`: a sensor without a stamp whose library differs.
    """

    sentence = "This is a different fingerprint reader."
    advice = "Plug the old reader in again, or let an administrator adopt this one."

    def __init__(self, why: Mismatch, detail: str, found: str = "", expected: str = "") -> None:
        self.why = why
        self.found = found
        self.expected = expected
        super().__init__(detail)


class LibraryMismatch(BindingError):
    """The sensor's stamp or library is damaged, or is not what the records say."""

    sentence = "The fingerprints in the reader do not fit this kiosk's records."
    advice = "Let an administrator look at the reader's page before anyone uses it."


# -- templates -------------------------------------------------------------------------------------


class TemplateError(SensorError):
    """A template could not be brought to this sensor; its library is as it was before."""

    sentence = "The fingerprint could not be copied to this reader."
    advice = "Try once more; if it fails again enrol the finger here."


class TemplateFormatMismatch(TemplateError):
    """The template was made by another model, whose templates mean nothing to this one."""

    sentence = "This fingerprint was taken with another kind of reader."
    advice = "Enrol the finger on this reader."

    def __init__(self, given: str, expected: str) -> None:
        self.given = given
        self.expected = expected
        super().__init__(f"a template of format {given}, this sensor takes {expected}")


class TemplateNotKept(TemplateError):
    """What the slot holds after Store is not what was sent; the slot was emptied again."""


# -- enrolment -------------------------------------------------------------------------------------


class EnrolmentError(SensorError):
    """A finger was not enrolled, and the library is as it was before."""

    sentence = "The finger was not enrolled."
    advice = "Start again."


class AlreadyEnrolled(EnrolmentError):
    """The first placement was found in `slot`, with comparison score `score`."""

    sentence = "This finger is already enrolled."
    advice = "See who it belongs to, or use another finger."

    def __init__(self, slot: int, score: int = 0) -> None:
        self.slot = slot
        self.score = score
        super().__init__(f"finger already enrolled in slot {slot}")


class SlotInUse(EnrolmentError):
    """`slot` holds a template already; storing there would destroy it."""

    def __init__(self, slot: int) -> None:
        self.slot = slot
        super().__init__(f"slot {slot} holds a template already")


class EnrolmentUnverified(EnrolmentError):
    """The template was stored, but the last placement did not find it; it was deleted again."""

    sentence = "The reader did not recognise the finger it had just learnt."
    advice = "Enrol again, with the same finger from start to end."


class EnrolmentTimeout(EnrolmentError):
    """Nobody placed, or lifted, the finger in time."""

    sentence = "No finger was placed in time."
    advice = "Start again when the person is at the reader."


_BY_CODE: dict[int, type[ConfirmationError]] = {
    codes.NO_FINGER: NoFinger,
    codes.IMAGE_FAILED: ImageQuality,
    codes.TOO_DRY: TooDry,
    codes.TOO_WET: TooWet,
    codes.TOO_MESSY: TooMessy,
    codes.TOO_FEW_FEATURES: TooFewFeatures,
    codes.NOT_FOUND: TemplateNotFound,
    codes.MERGE_FAILED: EnrolMismatch,
    codes.OUT_OF_RANGE: SlotOutOfRange,
    codes.TEMPLATE_INVALID: TemplateNotFound,
    codes.CLEAR_FAILED: FlashError,
    codes.WRONG_PASSWORD: WrongPassword,
    codes.NO_IMAGE: ImageQuality,
    codes.RESIDUAL_PRINT: TooMessy,
    codes.FLASH_ERROR: FlashError,
    codes.LIBRARY_FULL: LibraryFull,
    codes.PASSWORD_NEEDED: PasswordRequired,
    codes.TEMPLATE_EMPTY: TemplateNotFound,
    codes.NO_VALID_TEMPLATE: TemplateNotFound,
    codes.LIBRARY_EMPTY: TemplateNotFound,
    codes.SENSOR_ERROR: SensorFaulty,
    codes.HARDWARE_ERROR: SensorFaulty,
}
# 0x22 is a print left on the glass when a ZFM-70 says it of an image, an empty slot otherwise.
_OF_AN_IMAGE = {codes.TEMPLATE_EMPTY: TooMessy}
_LOOKS = frozenset({profiles.GEN_IMAGE, profiles.IMAGE_TO_TEMPLATE})


def confirmation_error(code: int, instruction: int) -> ConfirmationError:
    """The exception for a confirmation code other than 00, given in answer to `instruction`."""
    special = _OF_AN_IMAGE if instruction in _LOOKS else {}
    kind = special.get(code) or _BY_CODE.get(code, Refused)
    return kind(code, f"instruction {instruction:#04x} answered {code:#04x} ({kind.__name__})")
