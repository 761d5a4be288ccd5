import QtQuick
import Kiosk.Facades

// The state of the line: a glyph, a name and a number; opens the details.
Press {
    id: button

    required property Pill pill
    readonly property bool dotted: pill.glyph === "dot"
    readonly property bool quiet: pill.tone === "quiet"
    readonly property real drawnTop: y + drawnY
    readonly property real drawnY: height - Theme.pillHeight - bottomGap
    property real bottomGap: Theme.pillGap
    readonly property color ink: pill.tone === "inverted" ? Theme.surface : pill.tone === "warn" ? Theme.lateFg : pill.tone === "alarm" ? Theme.absFg : Theme.ink
    readonly property color fill: pill.tone === "inverted" ? Theme.ink : pill.tone === "warn" ? Theme.lateBg : pill.tone === "alarm" ? Theme.absBg : Theme.raised
    readonly property color accent: dotted ? Theme.ok : pill.glyph === "arrows" ? Theme.brand : pill.glyph === "half" ? Theme.ink2 : ink

    property bool atEnd: false
    readonly property real drawnWidth: row.width + 2 * Theme.pillInset

    implicitWidth: Math.max(drawnWidth, Theme.buttonHeight)
    implicitHeight: Theme.buttonHeight
    Accessible.name: pill.spoken
    onClicked: pill.open()

    Item {
        anchors.fill: parent

        Rectangle {
            y: button.drawnY
            x: button.atEnd ? parent.width - width : 0
            width: button.drawnWidth
            height: Theme.pillHeight
            radius: height / 2
            color: button.down ? Theme.sunken : button.fill
            border.color: Theme.edge
            border.width: button.quiet ? Theme.border : 0
        }
    }
    Item {
        anchors.fill: parent

        Row {
            id: row

            y: button.drawnY + (Theme.pillHeight - height) / 2
            x: Theme.pillInset + (button.atEnd ? button.width - button.drawnWidth : 0)
            spacing: Theme.pillSpacing

            Glyph {
                anchors.verticalCenter: parent.verticalCenter
                name: button.pill.glyph
                ink: button.down ? Theme.ink : button.accent
                width: button.dotted ? Theme.pillDot : Theme.pillGlyph
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
