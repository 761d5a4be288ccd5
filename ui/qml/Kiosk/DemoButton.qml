import QtQuick
import QtQuick.Templates as T
import Kiosk.Facades

// A small button for a mouse.
T.AbstractButton {
    id: button

    required property string glyph

    implicitHeight: Theme.pillHeight
    Accessible.role: Accessible.Button
    Accessible.name: text

    background: Rectangle {
        radius: Theme.rowRadius
        color: button.down ? Theme.sunken : Theme.raised
        border.color: Theme.edge
        border.width: Theme.border
    }
    contentItem: Item {
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
