import QtQuick
import Kiosk.Facades

// "Late", on a plate of its own colour.
Rectangle {
    id: plate

    required property string text

    width: row.width + 2 * Theme.plateInset
    height: Theme.plateHeight
    radius: height / 2
    color: Theme.retry

    Row {
        id: row

        anchors.centerIn: parent
        spacing: Theme.base

        Glyph {
            anchors.verticalCenter: parent.verticalCenter
            name: "clock"
            ink: Theme.retryInk
            width: Theme.plateGlyph
            height: width
        }
        Line {
            anchors.verticalCenter: parent.verticalCenter
            size: Theme.plateSize
            strong: true
            color: Theme.retryInk
            text: plate.text
        }
    }
}
