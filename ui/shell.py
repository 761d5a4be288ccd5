"""The window: QML engine, fonts, choice of renderer, and an end without loose threads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, cast

from PySide6.QtCore import QCoreApplication, QEventLoop, QObject, QTimer, QUrl
from PySide6.QtGui import QFont, QFontDatabase, QGuiApplication
from PySide6.QtQml import QQmlApplicationEngine

import resources
from ui import glyph, ring
from ui.asking import Asking
from ui.choosing import Choosing
from ui.door import Door
from ui.other_ways import OtherWays
from ui.pill import Pill
from ui.roster import RosterModel
from ui.stranger import Stranger
from ui.words import Words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PySide6.QtQuick import QQuickWindow

    from kiosk.model import DeskState
    from ui.badges import BadgeFilter, Parser
    from ui.desk import Desk

QML = Path(__file__).parent / "qml"
SCHEMES = ("light", "dark", "high")
DEFAULT_SIZE = (1280, 800)

_DEFERRED_DELETE = 52  # QEvent::DeferredDelete, without loading all the types of events
_EMULATED = ("llvmpipe", "softpipe", "swrast")
_FAMILIES = ["Noto Sans", "Noto Sans Arabic UI"]
_FONTS = Path(resources.__file__).parent / "fonts"
# Registers their QML types.
PARTS = (glyph.Glyph, ring.Ring)


class ShellError(Exception):
    """The screen could not be built; the message says what is missing."""


def application(arguments: Sequence[str] = ()) -> QGuiApplication:
    """The one Qt application, made if there is none; chooses a renderer that fits the machine.

    Raises `ShellError` where there is nothing to show a window on (Qt itself would abort).
    """
    running = QGuiApplication.instance()
    if running is not None:
        return cast("QGuiApplication", running)
    if not _has_screen():
        raise ShellError("no screen found; to run without one, set QT_QPA_PLATFORM=offscreen")
    # Python paints the ring and the glyphs: one thread for all of it.
    os.environ["QSG_RENDER_LOOP"] = "basic"
    app = QGuiApplication(["whorl", *arguments])
    app.setApplicationName("Whorl")
    if "QT_QUICK_BACKEND" not in os.environ and not _has_gpu():
        os.environ["QT_QUICK_BACKEND"] = "software"
    return app


class Shell:
    """The kiosk's window on a desk; `close` it before the desk goes.

    `size` is the window's (width, height), None for the default or, in full screen, the screen's.
    `scheme` is light, dark or high; `language` one of `ui.words.LANGUAGES`. `badge` says that a
    badge is a way in; `read_badges` makes it one.
    Raises `ShellError` if the QML does not load.
    """

    def __init__(
        self,
        desk: Desk,
        *,
        size: tuple[int, int] | None = None,
        scheme: str = "light",
        language: str = "en",
        fullscreen: bool = False,
        reduced_motion: bool = False,
        badge: bool = False,
    ) -> None:
        self._app = application()
        self._desk = desk
        self._badges: BadgeFilter | None = None
        load_fonts()
        self.words = Words(language)
        self.door = Door(desk, self.words, badge=badge)
        self.roster = RosterModel(desk, self.words)
        self.pill = Pill(desk, self.words)
        self.other_ways = OtherWays(desk, self.words, badge=badge)
        self.asking = Asking(desk, self.words)
        self.stranger = Stranger(desk, self.words)
        self.choosing = Choosing(desk, self.words)
        self._stop = desk.watch(self._show, self.roster.change)
        self._engine = QQmlApplicationEngine()
        width, height = size or DEFAULT_SIZE
        self.window = open_window(
            self._engine,
            "Main",
            {
                "words": self.words,
                "door": self.door,
                "roster": self.roster,
                "pill": self.pill,
                "otherWays": self.other_ways,
                "asking": self.asking,
                "stranger": self.stranger,
                "choosing": self.choosing,
                "width": width,
                "height": height,
                "scheme": scheme,
                "reducedMotion": reduced_motion,
            },
        )
        self.shown = False
        self._on_shown: list[Callable[[], object]] = []
        self._warm = False
        self._warming = QTimer(singleShot=True, interval=0)
        self._warming.timeout.connect(self.warm)
        self.window.frameSwapped.connect(self._first_frame)
        if fullscreen:
            self.window.showFullScreen()
        else:
            self.window.show()
        self._show(desk.state)

    def when_shown(self, call: Callable[[], object]) -> None:
        """Call that once the first frame is on the screen; at once if it is."""
        if self.shown:
            call()
        else:
            self._on_shown.append(call)

    def await_frame(self, seconds: float) -> None:
        """Run Qt's own loop until the first frame is on the screen, or that time is over.

        Nobody's touch is heard meanwhile.
        """
        waiting = QEventLoop()
        self.when_shown(waiting.quit)
        QTimer.singleShot(round(seconds * 1000), waiting, waiting.quit)
        if not self.shown:
            waiting.exec(QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents)

    def warm(self) -> None:
        """Make ready what the first frame does not need; comes by itself right after it."""
        if self._warm:
            return
        self._warm = True
        from ui import fingertip  # noqa: F401, PLC0415 - registers its type, and costs only here

        _add_fonts("*Arabic*.ttf")
        self.window.setProperty("warm", True)  # noqa: FBT003 - Qt's own signature

    def read_badges(self, parser: Parser) -> None:
        """Take what a reader in keyboard mode types as badges, from now until `close`."""
        from ui.badges import BadgeFilter  # noqa: PLC0415 - the first frame does without

        self._badges = BadgeFilter(self._desk, parser, self.window)

    def grab(self, path: Path | str) -> None:
        """Write what the window shows as a picture; raises OSError if that fails."""
        if not self.window.grabWindow().save(str(path)):
            raise OSError(f"could not write {path}")

    def close(self) -> None:
        """Take the window down: first the watching, then the QML, last what the QML looked at."""
        self._stop()
        self._warming.stop()
        if self._badges is not None:
            self._badges.close()
        self.window.close()
        destroy(self._engine)
        facades = (self.stranger, self.asking, self.other_ways, self.pill, self.roster, self.door)
        for facade in (self.choosing, *facades, self.words):
            destroy(facade)

    def _first_frame(self) -> None:
        self.window.frameSwapped.disconnect(self._first_frame)
        self.shown = True
        self._warming.start()
        for call in self._on_shown:
            call()
        self._on_shown.clear()

    def _show(self, state: DeskState) -> None:
        if state.outcome is not None or state.claim is not None:
            self.warm()
        self.asking.show(state)
        self.stranger.show(state)
        self.choosing.show(state)
        self.door.show(state)
        self.roster.show(state)
        self.pill.show(state)
        self.other_ways.show(state)


def open_window(
    engine: QQmlApplicationEngine, name: str, properties: dict[str, object]
) -> QQuickWindow:
    """The window that a file of the Kiosk module describes, not shown yet.

    `properties` are what the window requires. Raises `ShellError` if the file does not load.
    """
    # Theme is told its size and scheme in QML: asked for here, an object without a type of its own
    # makes PySide load every class that Qt has, which takes longer than all of the QML.
    engine.addImportPath(str(QML))
    engine.setInitialProperties(properties)
    engine.load(QUrl.fromLocalFile(str(QML / "Kiosk" / f"{name}.qml")))
    roots = engine.rootObjects()
    if not roots:
        raise ShellError(f"{name}.qml did not load; Qt's log says why")
    return cast("QQuickWindow", roots[0])


def destroy(thing: QObject) -> None:
    """Delete now, and not when some event loop next gets round to it."""
    thing.deleteLater()
    QCoreApplication.sendPostedEvents(thing, _DEFERRED_DELETE)


def load_fonts() -> None:
    """Make the shipped Latin fonts known, once, and the default."""
    if QGuiApplication.font().families() != _FAMILIES:
        _add_fonts("NotoSans-*.ttf")
        font = QFont(_FAMILIES)
        font.setHintingPreference(QFont.HintingPreference.PreferNoHinting)
        QGuiApplication.setFont(font)


def _add_fonts(pattern: str) -> None:
    for path in sorted(_FONTS.glob(pattern)):
        QFontDatabase.addApplicationFont(str(path))


def _has_screen() -> bool:
    """Whether a platform was asked for, or a display server or a framebuffer is there."""
    asked = ("QT_QPA_PLATFORM", "DISPLAY", "WAYLAND_DISPLAY")
    return any(os.environ.get(name) for name in asked) or any(
        Path(path).exists() for path in ("/dev/fb0", "/dev/dri/card0", "/dev/dri/card1")
    )


def _has_gpu() -> bool:
    """Whether OpenGL would run on a real GPU; emulating one is slower than painting by hand."""
    if QGuiApplication.platformName() in {"offscreen", "minimal", "linuxfb", "vnc"}:
        return False
    if not any(Path("/dev/dri").glob("renderD*")):
        return False
    renderer = _renderer()
    return bool(renderer) and not any(word in renderer for word in _EMULATED)


def _renderer() -> str:
    from PySide6.QtGui import QOffscreenSurface, QOpenGLContext  # noqa: PLC0415 - costs only here

    context = QOpenGLContext()
    surface = QOffscreenSurface()
    surface.create()
    if not context.create() or not context.makeCurrent(surface):
        return ""
    name = context.functions().glGetString(0x1F01)  # GL_RENDERER
    context.doneCurrent()
    return str(name).lower()
