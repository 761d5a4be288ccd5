import QtQuick
import Kiosk.Facades

// Whose door it is and, below, what for.
Item {
    id: header

    required property Door door
    property color ink: Theme.ink
    property color ink2: Theme.ink2
    property color accent: Theme.brand
    property bool whole: true

    implicitHeight: column.height

    Column {
        id: column

        width: parent.width
        spacing: Theme.headerGap

        Row {
            width: parent.width
            height: Theme.markSize
            spacing: Theme.markGap

            Glyph {
                name: "mark"
                ink: header.accent
                width: Theme.markSize
                height: Theme.markSize
            }
            FittedLine {
                anchors.verticalCenter: parent.verticalCenter
                width: parent.width - x
                size: Theme.orgSize
                strong: true
                color: header.accent
                text: header.door.organisation
            }
        }
        FittedLine {
            visible: header.whole
            width: parent.width
            size: Theme.sessionSize
            strong: true
            color: header.ink
            text: header.door.sessionTitle
        }
        FittedLine {
            visible: header.whole
            width: parent.width
            size: Theme.sessionLineSize
            color: header.ink2
            text: header.door.sessionLine
        }
    }
}
