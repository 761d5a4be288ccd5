import QtQuick
import Kiosk.Facades

// Upright screens: clock and pill at the top corner, where the roster is not.
Item {
    id: corner

    required property Door door
    required property Pill pill

    width: Math.max(clock.width, button.width)
    height: button.y + button.height

    Line {
        id: clock

        x: parent.width - width
        y: Theme.cornerClockTop
        size: Theme.clockSize
        strong: true
        text: corner.door.clock
    }
    PillButton {
        id: button

        objectName: "cornerPill"
        pill: corner.pill
        x: parent.width - width
        y: Theme.cornerPillTop
        atEnd: true
        bottomGap: height - Theme.pillHeight - Theme.base
    }
}
