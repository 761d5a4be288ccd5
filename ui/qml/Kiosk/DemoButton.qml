import QtQuick
import QtQuick.Templates as T
import Kiosk.Facades

// A small button for a mouse.
T.AbstractButton {
    id: button

    required property string glyph

    implicitHeight: 48
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
            x: 12
            anchors.verticalCenter: parent.verticalCenter
            width: 20
            height: 20
            name: button.glyph
            ink: Theme.brand
        }
        FittedLine {
            x: 42
            anchors.verticalCenter: parent.verticalCenter
            width: parent.width - x - Theme.base
            size: 16
            strong: true
            text: button.text
        }
    }
}
