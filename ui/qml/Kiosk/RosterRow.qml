import QtQuick
import Kiosk.Facades

// One person: how they came in, name, status, time.
Item {
    id: row

    required property string name
    required property string method
    required property string status
    required property string label
    required property string chip
    required property string time
    required property bool newest
    readonly property bool expected: status === "expected"

    height: Theme.rowHeight

    Rectangle {
        anchors.fill: parent
        radius: Theme.rowRadius
        color: Theme.hot
        opacity: row.newest ? 1 : 0
        visible: opacity > 0

        Behavior on opacity {
            NumberAnimation { duration: row.newest ? 0 : Theme.tintLeave }
        }
    }
    Glyph {
        anchors.verticalCenter: parent.verticalCenter
        x: Theme.rowInset
        width: Theme.rowGlyph
        height: Theme.rowGlyph
        name: row.method
        ink: Theme.ink2
    }
    Line {
        anchors.verticalCenter: parent.verticalCenter
        x: Theme.rowText
        width: chip.x - x - Theme.base
        elide: Text.ElideRight
        size: Theme.rowNameSize
        strong: !row.expected
        color: row.expected ? Theme.ink2 : Theme.ink
        text: row.name
    }
    Chip {
        id: chip

        anchors.verticalCenter: parent.verticalCenter
        x: time.x - width - Theme.chipGap - (plain ? 2 : 0)
        status: row.status
        glyph: row.chip
        text: row.label
    }
    Line {
        id: time

        anchors.verticalCenter: parent.verticalCenter
        x: parent.width - Theme.rowInset - width
        width: Theme.timeWidth
        horizontalAlignment: Text.AlignRight
        size: Theme.bodySize
        color: Theme.ink2
        text: row.time
    }
}
