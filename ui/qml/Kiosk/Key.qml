import QtQuick
import Kiosk.Facades

// One key of a keypad: a digit, a word or a glyph.
Press {
    id: key

    property string glyph: ""
    property bool filled: false
    property bool sunken: false
    property int size: Theme.keySize

    width: Theme.keyWidth
    height: Theme.keyHeight

    Rectangle {
        anchors.fill: parent
        radius: Theme.keyRadius
        color: key.filled ? Theme.brand : key.sunken ? Theme.sunken : Theme.raised
        border.color: key.filled ? Theme.brand : Theme.edge
        border.width: Theme.border
    }
    Item {
        anchors.fill: parent

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
            stroke: Theme.buttonStroke
            width: Theme.keyGlyph
            height: width
        }
    }
}
