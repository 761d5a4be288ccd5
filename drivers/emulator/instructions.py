"""The instructions of every model, one function each (ZFM-20 manual V2.0, 6.1 to 6.4).

Where the manual leaves a case open, the choice is named beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drivers import codes as c
from drivers import profiles as p
from drivers.emulator import fingers, ridges
from drivers.emulator.memory import Download, Part
from drivers.emulator.reply import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from drivers.emulator.module import Module

# -- capture ---------------------------------------------------------------------------------------


def gen_image(module: Module, _: bytes) -> Answer:
    """GetImage; also the first half of GetImageEx."""
    timing = module.profile.timing
    if Part.SENSOR in module.broken:
        return Answer(c.IMAGE_FAILED, busy=timing.image_miss)
    if (image := module.glass.look()) is None:
        return Answer(c.NO_FINGER, busy=timing.image_miss)
    module.ram.image = image
    if module.profile.image_clears_buffers:
        module.ram.spoilt.update(module.ram.buffers)
    return Answer(busy=module.random.uniform(*timing.image_hit))


def _convert(module: Module, params: bytes) -> Answer:
    ram, busy = module.ram, module.profile.timing.convert
    if ram.image is None:
        return Answer(c.NO_IMAGE)
    if ram.image.identity is None:
        return Answer(c.TOO_FEW_FEATURES, busy=busy)
    if (code := module.quality_code(ram.image.quality)) != c.OK:
        return Answer(code, busy=busy)
    number = module.buffer(params[0])
    ram.buffers[number] = module.impression(ram.image.identity)
    ram.latest = number
    ram.spoilt.discard(number)
    return Answer(busy=busy)


# -- templates -------------------------------------------------------------------------------------


def _match(module: Module, _: bytes) -> Answer:
    ram = module.ram
    if module.profile.model_buffer:
        first, second = ram.buffers.get(ram.latest), ram.model
    else:
        first, second = ram.buffers.get(1), ram.buffers.get(2)
    score = fingers.compare(first, second, module.profile.scores) if first and second else 0
    if module.profile.match_refuses:
        score = 0
    ram.matched = score > 0
    return Answer(c.OK if score else c.NO_MATCH, score.to_bytes(2, "big"))


def search(module: Module, params: bytes) -> Answer:
    """Search and HiSpeedSearch: the first slot that fits; which of several is left open."""
    number = module.buffer(params[0])
    probe = b"" if number in module.ram.spoilt else module.ram.buffers.get(number, b"")
    start, count = _word(params, 1), _word(params, 3)
    timing, library = module.profile.timing, module.flash.library
    hits = (
        (slot, fingers.compare(probe, library[slot], module.profile.scores))
        for slot in sorted(library)
        if start <= slot < start + count
    )
    slot, score = next((hit for hit in hits if hit[1]), (module.profile.page_when_missed, 0))
    module.ram.matched = score > 0
    data = slot.to_bytes(2, "big") + score.to_bytes(2, "big")
    busy = timing.search + timing.search_each * len(library)
    return Answer(c.OK if score else c.NOT_FOUND, data, busy=busy)


def _reg_model(module: Module, _: bytes) -> Answer:
    """Buffers 1 and 2 make the template, with every further one that is filled (R503: up to 6)."""
    buffers = module.ram.buffers
    if 1 not in buffers or 2 not in buffers:
        return Answer(c.MERGE_FAILED)
    merged = buffers[1]
    for number in sorted(buffers.keys() - {1}):
        if fingers.compare(merged, buffers[number], module.profile.scores):
            merged = fingers.merge(merged, buffers[number])
        elif module.profile.merges_strangers:
            merged = fingers.chimera(merged, buffers[number])
        else:
            return Answer(c.MERGE_FAILED)
    module.ram.buffers = {1: merged, 2: merged}
    module.ram.model = merged
    module.ram.spoilt.clear()
    return Answer()


def _store(module: Module, params: bytes) -> Answer:
    slot, content = _word(params, 1), module.ram.buffers.get(module.buffer(params[0]))
    if slot >= module.profile.capacity:
        return Answer(c.OUT_OF_RANGE)
    # Left open by the manual: an empty buffer. Nothing valid can be written.
    if content is None or module.write_fails():
        return Answer(c.FLASH_ERROR)
    module.flash.store(slot, content)
    return Answer(busy=module.profile.timing.store)


def _load(module: Module, params: bytes) -> Answer:
    number, slot = module.buffer(params[0]), _word(params, 1)
    if slot >= module.profile.capacity:
        return Answer(c.OUT_OF_RANGE)
    if (content := module.flash.library.get(slot)) is None:
        return Answer(c.TEMPLATE_INVALID)
    module.fill_buffer(number, content)
    return Answer()


def _delete(module: Module, params: bytes) -> Answer:
    first, count = _word(params, 0), _word(params, 2)
    if first + count > module.profile.capacity or module.write_fails():
        return Answer(c.DELETE_FAILED)
    module.flash.erase(range(first, first + count))
    return Answer(busy=module.profile.timing.store)


def _empty(module: Module, _: bytes) -> Answer:
    if module.write_fails():
        return Answer(c.CLEAR_FAILED)
    module.flash.erase(list(module.flash.library))
    return Answer(busy=module.profile.timing.empty)


def _count(module: Module, _: bytes) -> Answer:
    return Answer(data=len(module.flash.library).to_bytes(2, "big"))


def _index(module: Module, params: bytes) -> Answer:
    # Left open by the manual: a page beyond 3.
    if params[0] > 3:
        return Answer(c.PACKET_ERROR)
    table = bytearray(32)
    for slot in module.flash.library:
        page, bit = divmod(slot, 256)
        if page == params[0]:
            table[bit // 8] |= 1 << bit % 8
    return Answer(data=bytes(table))


# -- data phases -----------------------------------------------------------------------------------


def _up_char(module: Module, params: bytes) -> Answer:
    ram = module.ram
    own = module.profile.model_buffer
    content = ram.model if own else ram.buffers.get(module.buffer(params[0]))
    return Answer(c.UPLOAD_FAILED) if content is None else Answer(stream=content)


def _down_char(module: Module, params: bytes) -> Answer:
    module.ram.download = Download(module.buffer(params[0]), module.profile.template_size)
    return Answer()


def _up_image(module: Module, _: bytes) -> Answer:
    image = module.ram.image
    if image is None:
        return Answer(c.IMAGE_UPLOAD_FAILED)
    size = module.profile.image
    return Answer(stream=image.pixels or ridges.image(image.identity, image.quality, size))


def _down_image(module: Module, _: bytes) -> Answer:
    width, height = module.profile.image
    module.ram.download = Download(None, width * height // 2)
    return Answer()


# -- system ----------------------------------------------------------------------------------------


def _set_parameter(module: Module, params: bytes) -> Answer:
    number, value = params[0], params[1]
    allowed = {4: module.profile.baud_codes, 5: range(1, 6), 6: range(len(p.PACKET_SIZES))}
    if number not in allowed:
        return Answer(c.BAD_REGISTER)
    if value not in allowed[number]:
        return Answer(c.BAD_SETTING)
    if module.write_fails():
        return Answer(c.FLASH_ERROR)
    return Answer(after=lambda: module.flash.configure(_PARAMETERS[number], value))


def _read_parameters(module: Module, _: bytes) -> Answer:
    ram, flash, profile = module.ram, module.flash, module.profile
    status = ram.matched << 1 | ram.verified << 2 | (ram.image is not None) << 3
    words = (status, profile.system_id, profile.capacity, flash.security_level)
    tail = (flash.packet_code, flash.baud_code)
    return Answer(data=_words(words) + flash.address.to_bytes(4, "big") + _words(tail))


def _set_password(module: Module, params: bytes) -> Answer:
    return _write_number(module, "password", params)


def _verify_password(module: Module, params: bytes) -> Answer:
    module.ram.verified = int.from_bytes(params[:4], "big") == module.flash.password
    return Answer(c.OK if module.ram.verified else c.WRONG_PASSWORD)


def _set_address(module: Module, params: bytes) -> Answer:
    """The acknowledgement carries the new address: the reply is made after the change."""
    return _write_number(module, "address", params)


def _write_number(module: Module, name: str, params: bytes) -> Answer:
    if module.write_fails():
        return Answer(c.FLASH_ERROR)
    module.flash.configure(name, int.from_bytes(params[:4], "big"))
    return Answer(busy=module.profile.timing.store)


def _random_code(module: Module, _: bytes) -> Answer:
    return Answer(data=module.random.randbytes(4))


def _word(params: bytes, at: int) -> int:
    return int.from_bytes(params[at : at + 2], "big")


def _words(values: tuple[int, ...]) -> bytes:
    return b"".join(value.to_bytes(2, "big") for value in values)


_PARAMETERS = {4: "baud_code", 5: "security_level", 6: "packet_code"}

# Instruction code -> bytes of parameters needed, and who obeys.
CORE: dict[int, tuple[int, Callable[[Module, bytes], Answer]]] = {
    p.GEN_IMAGE: (0, gen_image),
    p.IMAGE_TO_TEMPLATE: (1, _convert),
    p.MATCH: (0, _match),
    p.SEARCH: (5, search),
    p.REG_MODEL: (0, _reg_model),
    p.STORE: (3, _store),
    p.LOAD_CHAR: (3, _load),
    p.UP_CHAR: (1, _up_char),
    p.DOWN_CHAR: (1, _down_char),
    p.UP_IMAGE: (0, _up_image),
    p.DOWN_IMAGE: (0, _down_image),
    p.DELETE_CHAR: (4, _delete),
    p.EMPTY: (0, _empty),
    p.SET_SYS_PARA: (2, _set_parameter),
    p.READ_SYS_PARA: (0, _read_parameters),
    p.SET_PASSWORD: (4, _set_password),
    p.VERIFY_PASSWORD: (4, _verify_password),
    p.GET_RANDOM: (0, _random_code),
    p.SET_ADDRESS: (4, _set_address),
    p.TEMPLATE_COUNT: (0, _count),
    p.READ_INDEX: (1, _index),
}
