import QtQuick
import Kiosk.Facades

// A small button for a mouse.
Press {
    id: button

    required property string glyph

    implicitHeight: Theme.pillHeight

    Rectangle {
        anchors.fill: parent
        radius: Theme.rowRadius
        color: button.down ? Theme.sunken : Theme.raised
        border.color: Theme.edge
        border.width: Theme.border
    }
    Item {
        anchors.fill: parent

        Glyph {
            x: Theme.rowInset
            anchors.verticalCenter: parent.verticalCenter
            width: Theme.pillGlyph
            height: Theme.pillGlyph
            name: button.glyph
            ink: Theme.brand
        }
        FittedLine {
            x: Theme.rowText
            anchors.verticalCenter: parent.verticalCenter
            width: parent.width - x - Theme.base
            size: Theme.chipSize
            strong: true
            text: button.text
        }
    }
}
