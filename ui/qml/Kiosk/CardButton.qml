import QtQuick
import Kiosk.Facades

// A large button: glyph, title and, smaller, what it is for.
Press {
    id: button

    property string glyph: ""
    property string detail: ""
    property bool filled: false
    property color fill: filled ? Theme.brand : Theme.raised
    property color ink: filled ? Theme.brandInk : Theme.ink
    property color ink2: filled ? Theme.brandInk : Theme.ink2
    property color accent: filled ? Theme.brandInk : Theme.brand
    property color rim: filled ? fill : Theme.edge
    property int titleSize: Theme.buttonSize
    property bool centred: false
    property bool glyphAlways: centred
    property color pressedFill: Theme.sunken
    property color pressedInk: Theme.ink
    readonly property bool glyphShown: glyph !== "" && (Theme.large || glyphAlways)
    readonly property bool truncated: title.truncated || caption.truncated

    implicitHeight: Theme.buttonHeight
    Accessible.name: detail === "" ? text : text + ". " + detail

    Rectangle {
        anchors.fill: parent
        radius: Theme.buttonRadius
        color: button.down ? button.pressedFill : button.fill
        border.color: button.rim
        border.width: Theme.border
    }
    Item {
        anchors.fill: parent
        anchors.margins: button.glyphShown ? Theme.gap : Theme.base * 2

        Row {
            id: row

            anchors.verticalCenter: parent.verticalCenter
            x: button.centred ? (parent.width - width) / 2 : 0
            spacing: Theme.buttonSpacing

            Glyph {
                visible: button.glyphShown
                anchors.verticalCenter: parent.verticalCenter
                name: button.glyph
                ink: button.accent
                width: Theme.buttonGlyph
                height: Theme.buttonGlyph
            }
            Column {
                id: words

                readonly property real room: row.parent.width - (button.glyphShown ? Theme.buttonGlyph + row.spacing : 0)

                anchors.verticalCenter: parent.verticalCenter

                FittedLine {
                    id: title

                    width: Math.min(implicitWidth, words.room)
                    size: button.titleSize
                    strong: true
                    color: button.down ? button.pressedInk : button.ink
                    text: button.text
                }
                FittedLine {
                    id: caption

                    visible: text !== ""
                    width: Math.min(implicitWidth, words.room)
                    size: Theme.chipSize
                    minimumPixelSize: size
                    color: button.down ? button.pressedInk : button.ink2
                    text: button.detail
                }
            }
        }
    }
}
