"""What each sensor model can do: sizes, instructions, timings and habits, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field

# Instruction codes of every model but where said otherwise (ZFM-20 manual, 6.4; R30x manual).
GEN_IMAGE = 0x01
IMAGE_TO_TEMPLATE = 0x02
MATCH = 0x03
SEARCH = 0x04
REG_MODEL = 0x05
STORE = 0x06
LOAD_CHAR = 0x07
UP_CHAR = 0x08
DOWN_CHAR = 0x09
UP_IMAGE = 0x0A
DOWN_IMAGE = 0x0B
DELETE_CHAR = 0x0C
EMPTY = 0x0D
SET_SYS_PARA = 0x0E
READ_SYS_PARA = 0x0F
GR_ENROLL = 0x10
GR_IDENTIFY = 0x11
SET_PASSWORD = 0x12
VERIFY_PASSWORD = 0x13
GET_RANDOM = 0x14
SET_ADDRESS = 0x15
READ_INFO_PAGE = 0x16
PORT_CONTROL = 0x17
WRITE_NOTEPAD = 0x18
READ_NOTEPAD = 0x19
HI_SPEED_SEARCH = 0x1B
TEMPLATE_COUNT = 0x1D
READ_INDEX = 0x1F
GET_IMAGE_EX = 0x28
CANCEL = 0x30
AUTO_ENROLL = 0x31
AUTO_IDENTIFY = 0x32
AURA_LED = 0x35
CHECK_SENSOR = 0x36
ALGORITHM_VERSION = 0x39
FIRMWARE_VERSION = 0x3A
PRODUCT_INFO = 0x3C
SOFT_RESET = 0x3D
HANDSHAKE = 0x40
LED_ON = 0x50
LED_OFF = 0x51
ECHO = 0x53

INSTRUCTIONS = {
    GEN_IMAGE: "GetImage",
    IMAGE_TO_TEMPLATE: "Img2Tz",
    MATCH: "Match",
    SEARCH: "Search",
    REG_MODEL: "RegModel",
    STORE: "Store",
    LOAD_CHAR: "LoadChar",
    UP_CHAR: "UpChar",
    DOWN_CHAR: "DownChar",
    UP_IMAGE: "UpImage",
    DOWN_IMAGE: "DownImage",
    DELETE_CHAR: "DeletChar",
    EMPTY: "Empty",
    SET_SYS_PARA: "SetSysPara",
    READ_SYS_PARA: "ReadSysPara",
    GR_ENROLL: "GR_Enroll",
    GR_IDENTIFY: "GR_Identify",
    SET_PASSWORD: "SetPwd",
    VERIFY_PASSWORD: "VfyPwd",
    GET_RANDOM: "GetRandomCode",
    SET_ADDRESS: "SetAdder",
    READ_INFO_PAGE: "ReadINFpage",
    PORT_CONTROL: "Port_Control",
    WRITE_NOTEPAD: "WriteNotepad",
    READ_NOTEPAD: "ReadNotepad",
    HI_SPEED_SEARCH: "HiSpeedSearch",
    TEMPLATE_COUNT: "TempleteNum",
    READ_INDEX: "ReadIndexTable",
    GET_IMAGE_EX: "GetImageEx",
    CANCEL: "Cancel",
    AUTO_ENROLL: "AutoEnroll",
    AUTO_IDENTIFY: "AutoIdentify",
    AURA_LED: "AuraLedConfig",
    CHECK_SENSOR: "CheckSensor",
    ALGORITHM_VERSION: "GetAlgVer",
    FIRMWARE_VERSION: "GetFwVer",
    PRODUCT_INFO: "ReadProdInfo",
    SOFT_RESET: "SoftRst",
    HANDSHAKE: "HandShake",
    LED_ON: "OpenLED",
    LED_OFF: "CloseLED",
    ECHO: "GetEcho",
}
"""Every instruction that some profile has, by the name its manual gives it."""

PACKET_SIZES = (32, 64, 128, 256)
NOTEPAD_PAGE = 32

_CORE = frozenset(
    {
        *range(GEN_IMAGE, READ_SYS_PARA + 1),
        *range(SET_PASSWORD, SET_ADDRESS + 1),
        TEMPLATE_COUNT,
        READ_INDEX,
    }
)


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a module thinks, in seconds; the defaults were measured on an optical FPM10A.

    `patience` is how long an automatic flow waits for a finger, or for it to be lifted.
    """

    boot: float = 0.5
    image_miss: float = 0.005
    image_hit: tuple[float, float] = (0.30, 0.59)
    convert: float = 0.39
    search: float = 0.02
    search_each: float = 0.00075
    store: float = 0.06
    empty: float = 0.3
    patience: float = 10.0


@dataclass(frozen=True, slots=True)
class Profile:
    """One model. Sizes in bytes and pixels, `scores` the range of scores that matches get.

    `instructions` are what it obeys (`supports` asks), `baud_codes` the multiples of 9,600 baud
    that SetSysPara takes, `system_id` is word 1 of ReadSysPara.

    The last group are habits that differ between families: whether a wrong address is answered
    with 0x20, what an unknown instruction is answered with, the single raw byte sent after
    power-up, whether dry and wet fingers have codes of their own, whether bytes that arrive while
    the module thinks are lost, whether RegModel merges two different fingers without a word,
    whether GetImage spoils the buffers for a search (RegModel still takes them), which page
    number comes with "not found", whether templates have a buffer of their own beside those
    of features (Match compares that one with the features taken last, UpChar always sends it), and
    whether Match refuses every finger, also one that Search accepts.
    """

    name: str
    capacity: int
    template_size: int
    image: tuple[int, int] = (256, 288)
    system_id: int = 0
    security_level: int = 3
    packet_code: int = 2
    baud_code: int = 6
    baud_codes: tuple[int, ...] = tuple(range(1, 13))
    buffers: int = 2
    notepad_pages: int = 0
    scores: tuple[int, int] = (52, 120)
    instructions: frozenset[int] = _CORE
    timing: Timing = field(default_factory=Timing)

    answers_wrong_address: bool = False
    unknown_code: int = 0x01
    boot_byte: int | None = None
    moisture_codes: bool = False
    deaf_while_busy: bool = True
    merges_strangers: bool = False
    image_clears_buffers: bool = False
    page_when_missed: int = 0
    model_buffer: bool = False
    match_refuses: bool = False

    def supports(self, instruction: int) -> bool:
        """Whether the model obeys `instruction` at all."""
        return instruction in self.instructions


ZFM20 = Profile(name="zfm20", capacity=162, template_size=512)

R307 = Profile(
    name="r307",
    capacity=1000,
    template_size=512,
    system_id=0x0009,
    notepad_pages=16,
    scores=(110, 268),
    instructions=_CORE
    | {WRITE_NOTEPAD, READ_NOTEPAD, HI_SPEED_SEARCH}
    | {READ_INFO_PAGE, PORT_CONTROL, LED_ON, LED_OFF, ECHO},
    moisture_codes=True,
)

R503 = Profile(
    name="r503",
    capacity=200,
    template_size=1536,
    image=(192, 192),
    buffers=6,
    notepad_pages=16,
    baud_codes=(1, 2, 4, 6, 12),
    scores=(70, 140),
    instructions=_CORE
    | {WRITE_NOTEPAD, READ_NOTEPAD, READ_INFO_PAGE, GET_IMAGE_EX, AURA_LED, CHECK_SENSOR}
    | {CANCEL, AUTO_ENROLL, AUTO_IDENTIFY}
    | {ALGORITHM_VERSION, FIRMWARE_VERSION, PRODUCT_INFO, SOFT_RESET, HANDSHAKE},
    timing=Timing(boot=0.05, image_hit=(0.1, 0.2), convert=0.3, search_each=0.001),
    unknown_code=0xFC,
    boot_byte=0x55,
    image_clears_buffers=True,
    page_when_missed=0x01EE,
    model_buffer=True,
)

R308 = Profile(
    name="r308",
    capacity=500,
    template_size=512,
    instructions=(_CORE | {HI_SPEED_SEARCH}) - {READ_SYS_PARA},
)

AS608 = Profile(
    name="as608",
    capacity=162,
    template_size=512,
    notepad_pages=16,
    instructions=_CORE
    | {GR_ENROLL, GR_IDENTIFY, READ_INFO_PAGE, PORT_CONTROL}
    | {WRITE_NOTEPAD, READ_NOTEPAD, HI_SPEED_SEARCH},
    moisture_codes=True,
)

PROFILES = {profile.name: profile for profile in (ZFM20, AS608, R307, R308, R503)}


def profile_named(name: str) -> Profile | None:
    """The built-in profile called `name`, None for ""; raises ValueError for an unknown name."""
    if name and name not in PROFILES:
        raise ValueError(f"no sensor profile {name!r}; there are {', '.join(sorted(PROFILES))}")
    return PROFILES.get(name)
