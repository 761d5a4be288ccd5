import QtQuick

// The time left, along the top edge; what has gone grows from the start.
Rectangle {
    id: bar

    property real share: 1
    property color ink: Theme.ink

    height: Theme.countdownHeight

    Rectangle {
        anchors.right: parent.right
        width: Math.round(bar.width * bar.share)
        height: parent.height
        color: bar.ink
    }
}
