import QtQuick
import Kiosk.Facades

// A dry fingertip, and what it should look like.
Row {
    id: hint

    property color ink: Theme.retryInk
    property color skin: Theme.retryDeep

    height: Theme.hintHeight
    spacing: Theme.gap
    Accessible.ignored: true

    Fingertip {
        dry: true
        ink: hint.ink
        skin: hint.skin
        width: Theme.hintWidth
        height: parent.height
    }
    Glyph {
        anchors.verticalCenter: parent.verticalCenter
        name: "forth"
        ink: hint.ink
        stroke: Theme.chevronStroke
        width: Theme.buttonGlyph
        height: width
    }
    Fingertip {
        ink: hint.ink
        skin: hint.skin
        width: Theme.hintWidth
        height: parent.height
    }
}
