import QtQuick
import Kiosk.Facades

// A status: glyph and word, filled unless it is the ordinary one.
Rectangle {
    id: chip

    required property string status
    required property string glyph
    required property string text
    readonly property bool plain: status === "present"
    readonly property color ink: plain ? Theme.presentText : status === "late" ? Theme.lateFg : status === "excused" ? Theme.excFg : status === "absent" ? Theme.absFg : Theme.expFg
    readonly property color fill: status === "late" ? Theme.lateBg : status === "excused" ? Theme.excBg : status === "absent" ? Theme.absBg : Theme.expBg

    implicitWidth: row.width + (plain ? 0 : Theme.base * 3)
    implicitHeight: Theme.chipHeight
    radius: height / 2
    color: plain ? "transparent" : fill
    border.width: Theme.high && status === "expected" ? Theme.border - 1 : 0
    border.color: Theme.edge

    Row {
        id: row

        anchors.centerIn: parent
        spacing: Theme.chipSpacing

        Glyph {
            visible: chip.glyph !== ""
            anchors.verticalCenter: parent.verticalCenter
            name: chip.glyph
            ink: chip.ink
            stroke: Theme.chipStroke
            width: Theme.chipGlyph
            height: Theme.chipGlyph
        }
        Line {
            anchors.verticalCenter: parent.verticalCenter
            size: Theme.chipSize
            strong: true
            color: chip.ink
            text: chip.text
        }
    }
}
