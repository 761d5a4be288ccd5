import QtQuick
import Kiosk.Facades

// "Late", on a plate of its own colour.
Rectangle {
    id: plate

    required property string text

    width: row.width + 2 * (Theme.large ? 19 : 14)
    height: Theme.large ? 52 : 40
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
            width: Theme.large ? 26 : 22
            height: width
        }
        Line {
            anchors.verticalCenter: parent.verticalCenter
            size: Theme.large ? Theme.buttonSize : Theme.bodySize
            strong: true
            color: Theme.retryInk
            text: plate.text
        }
    }
}
