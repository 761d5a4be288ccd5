"""The instructions that only some families have (R30x manual; R503 manual V1.2.2; ZFM-70 manual).

Where a manual leaves a case open, the choice is named beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drivers import codes as c
from drivers import profiles as p
from drivers.emulator.fingers import Quality
from drivers.emulator.instructions import gen_image, search
from drivers.emulator.memory import Light, Part
from drivers.emulator.reply import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from drivers.emulator.module import Module

_INFO_PAGE = 512
_VERSION_TEXT = 32
_LIGHT_OFF = 4
_LIGHT_ON = 3


def _get_image_ex(module: Module, params: bytes) -> Answer:
    """GetImage, but a poor image is refused at once."""
    answer = gen_image(module, params)
    image = module.ram.image
    if answer.code == c.OK and image is not None:
        poor = image.identity is None or image.quality is not Quality.GOOD
        return Answer(c.TOO_FEW_FEATURES, busy=answer.busy) if poor else answer
    return answer


def _write_notepad(module: Module, params: bytes) -> Answer:
    if params[0] >= module.profile.notepad_pages:
        return Answer(c.BAD_NOTEPAD_PAGE)
    if module.write_fails():
        return Answer(c.FLASH_ERROR)
    module.flash.note(params[0], params[1 : 1 + p.NOTEPAD_PAGE])
    return Answer(busy=module.profile.timing.store)


def _read_notepad(module: Module, params: bytes) -> Answer:
    if params[0] >= module.profile.notepad_pages:
        return Answer(c.BAD_NOTEPAD_PAGE)
    return Answer(data=module.flash.notepad.get(params[0], bytes(p.NOTEPAD_PAGE)))


def _info_page(module: Module, _: bytes) -> Answer:
    """512 bytes; their layout is the maker's secret: here a label, the serial number, then FF."""
    label = b"EMULATED " + module.profile.name.upper().encode() + b"\0" + module.flash.serial
    return Answer(stream=label.ljust(_INFO_PAGE, b"\xff"))


def _port_control(module: Module, params: bytes) -> Answer:
    """Switches the module's USB port, 1 on and 0 off; the serial line takes no notice."""
    if params[0] > 1:
        return Answer(c.PORT_FAILED)
    module.ram.port_on = bool(params[0])
    return Answer()


def _light_on(module: Module, _: bytes) -> Answer:
    module.ram.light = Light(control=_LIGHT_ON)
    return Answer()


def _light_off(module: Module, _: bytes) -> Answer:
    module.ram.light = Light(control=_LIGHT_OFF)
    return Answer()


def _aura_light(module: Module, params: bytes) -> Answer:
    """Left open by the manual: what a control or colour that there is not gets; here 01."""
    control, speed, colour, count = params[:4]
    if not 1 <= control <= 6 or not 1 <= colour <= 7:
        return Answer(c.PACKET_ERROR)
    module.ram.light = Light(control, speed, colour, count)
    return Answer()


def _check_sensor(module: Module, _: bytes) -> Answer:
    return Answer(c.SENSOR_ERROR if Part.SENSOR in module.broken else c.OK)


def _algorithm_version(_module: Module, _: bytes) -> Answer:
    return Answer(data=b"EMULATED ALGORITHM 1".ljust(_VERSION_TEXT, b"\0"))


def _firmware_version(_module: Module, _: bytes) -> Answer:
    return Answer(data=b"EMULATED FIRMWARE 1".ljust(_VERSION_TEXT, b"\0"))


def _product_info(module: Module, _: bytes) -> Answer:
    """46 bytes: model 16, batch 4, serial 8, hardware 2, sensor 8, then four words."""
    profile = module.profile
    words = (*profile.image, profile.template_size, profile.capacity)
    texts = (
        profile.name.upper().encode().ljust(16, b"\0"),
        b"EMUL",
        module.flash.serial,
        b"\x01\x00",
        b"EMULATED",
    )
    return Answer(data=b"".join(texts) + b"".join(word.to_bytes(2, "big") for word in words))


def _soft_reset(_module: Module, _: bytes) -> Answer:
    return Answer(resets=True)


def _ready(_module: Module, _: bytes) -> Answer:
    """HandShake."""
    return Answer()


def _echo(_module: Module, _: bytes) -> Answer:
    return Answer(c.ECHO)


# Instruction code -> bytes of parameters needed, and who obeys.
EXTENSIONS: dict[int, tuple[int, Callable[[Module, bytes], Answer]]] = {
    p.READ_INFO_PAGE: (0, _info_page),
    p.PORT_CONTROL: (1, _port_control),
    p.WRITE_NOTEPAD: (1 + p.NOTEPAD_PAGE, _write_notepad),
    p.READ_NOTEPAD: (1, _read_notepad),
    p.HI_SPEED_SEARCH: (5, search),
    p.GET_IMAGE_EX: (0, _get_image_ex),
    p.AURA_LED: (4, _aura_light),
    p.CHECK_SENSOR: (0, _check_sensor),
    p.ALGORITHM_VERSION: (0, _algorithm_version),
    p.FIRMWARE_VERSION: (0, _firmware_version),
    p.PRODUCT_INFO: (0, _product_info),
    p.SOFT_RESET: (0, _soft_reset),
    p.HANDSHAKE: (0, _ready),
    p.LED_ON: (0, _light_on),
    p.LED_OFF: (0, _light_off),
    p.ECHO: (0, _echo),
}
