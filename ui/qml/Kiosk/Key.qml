import QtQuick
import QtQuick.Templates as T
import Kiosk.Facades

// One key of a keypad: a digit, a word or a glyph.
T.AbstractButton {
    id: key

    property string glyph: ""
    property bool filled: false
    property bool sunken: false
    property int size: Theme.keySize

    width: Theme.pick(120, 160)
    height: Theme.pick(110, 160)
    Accessible.role: Accessible.Button
    Accessible.name: text

    background: Rectangle {
        radius: Theme.keyRadius
        color: key.filled ? Theme.brand : key.sunken ? Theme.sunken : Theme.raised
        border.color: key.filled ? Theme.brand : Theme.edge
        border.width: Theme.border
    }
    contentItem: Item {
        Line {
            anchors.centerIn: parent
            visible: key.glyph === ""
            size: key.size
            strong: true
            color: key.filled ? Theme.brandInk : Theme.ink
            text: key.text
        }
        Glyph {
            anchors.centerIn: parent
            visible: key.glyph !== ""
            name: key.glyph
            ink: Theme.ink
            stroke: 2.2
            width: Theme.pick(40, 52)
            height: width
        }
    }
}
