import QtQuick
import QtQuick.Templates as T
import Kiosk.Facades

// The state of the line: a glyph, a name and a number; opens the details.
T.AbstractButton {
    id: button

    required property Pill pill
    readonly property bool dotted: pill.glyph === "dot"
    readonly property bool quiet: pill.tone === "quiet"
    readonly property real drawnTop: y + drawnY
    readonly property real drawnY: height - Theme.pillHeight - bottomGap
    property real bottomGap: Theme.large ? 24 : 12
    readonly property color ink: pill.tone === "inverted" ? Theme.surface : pill.tone === "warn" ? Theme.lateFg : pill.tone === "alarm" ? Theme.absFg : Theme.ink
    readonly property color fill: pill.tone === "inverted" ? Theme.ink : pill.tone === "warn" ? Theme.lateBg : pill.tone === "alarm" ? Theme.absBg : Theme.raised
    readonly property color accent: dotted ? Theme.ok : pill.glyph === "arrows" ? Theme.brand : pill.glyph === "half" ? Theme.ink2 : ink

    implicitWidth: row.width + (dotted ? 36 : 40)
    implicitHeight: Theme.buttonHeight
    Accessible.role: Accessible.Button
    Accessible.name: pill.spoken
    onClicked: pill.open()

    background: Item {
        Rectangle {
            y: button.drawnY
            width: parent.width
            height: Theme.pillHeight
            radius: height / 2
            color: button.down ? Theme.sunken : button.fill
            border.color: Theme.edge
            border.width: button.quiet ? Theme.border : 0
        }
    }
    contentItem: Item {
        Row {
            id: row

            y: button.drawnY + (Theme.pillHeight - height) / 2
            x: (button.width - width) / 2
            spacing: 10

            Glyph {
                anchors.verticalCenter: parent.verticalCenter
                name: button.pill.glyph
                ink: button.down ? Theme.ink : button.accent
                width: button.dotted ? 10 : 20
                height: width
            }
            Line {
                anchors.verticalCenter: parent.verticalCenter
                size: Theme.pillSize
                strong: true
                color: button.down ? Theme.ink : button.ink
                text: button.pill.text
            }
        }
    }
}
