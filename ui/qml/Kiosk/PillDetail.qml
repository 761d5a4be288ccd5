pragma ComponentBehavior: Bound

import QtQuick
import Kiosk.Facades

// What is behind the pill; takes the roster's place.
Rectangle {
    id: panel

    required property Door door
    required property Pill pill
    required property Words words

    color: Theme.surface

    MouseArea { anchors.fill: parent }
    Rectangle {
        visible: Theme.high
        width: Theme.portrait ? parent.width : Theme.border
        height: Theme.portrait ? Theme.border : parent.height
        color: Theme.edge
    }
    Line {
        id: clock

        x: Theme.padding
        y: Theme.large ? 34 : 14
        size: Theme.outcomeClockSize
        strong: true
        text: panel.door.clock
    }
    PillButton {
        objectName: "openPill"
        pill: panel.pill
        x: parent.width - Theme.padding - width
        y: clock.y + (clock.height - Theme.pillHeight) / 2 - drawnY
        height: Theme.pillHeight + bottomGap
        bottomGap: Theme.base
        onClicked: panel.pill.close()
    }
    Line {
        id: title

        x: Theme.padding
        y: Theme.large ? 120 : 60
        width: parent.width - 2 * x
        fontSizeMode: Text.HorizontalFit
        minimumPixelSize: Math.round(size * Theme.smallest)
        size: Theme.detailTitleSize
        strong: true
        text: panel.pill.title
    }
    Line {
        id: line

        x: Theme.padding
        y: title.y + title.height + (Theme.large ? 6 : 0)
        width: parent.width - 2 * x
        wrapMode: Text.WordWrap
        lineHeight: 0.95
        size: Theme.large ? Theme.bodySize : Theme.chipSize
        color: Theme.ink2
        text: panel.pill.line
    }
    Column {
        id: rows

        readonly property real rowHeight: Math.min(Theme.large ? 64 : 40, (buttons.y - Theme.base - y) / 5)

        x: Theme.padding
        y: Theme.large ? 294 : line.y + line.height + 4
        width: parent.width - 2 * x

        Repeater {
            model: panel.pill.labels

            Item {
                id: entry

                required property int index
                required property string modelData

                width: rows.width
                height: rows.rowHeight

                Line {
                    id: label

                    anchors.verticalCenter: parent.verticalCenter
                    size: Theme.large ? Theme.bodySize : Theme.chipSize
                    color: Theme.ink2
                    text: entry.modelData
                }
                FittedLine {
                    anchors.verticalCenter: parent.verticalCenter
                    anchors.right: parent.right
                    width: parent.width - label.width - Theme.base
                    horizontalAlignment: Text.AlignRight
                    size: Theme.large ? Theme.bodySize : Theme.chipSize
                    strong: true
                    text: panel.pill.values[entry.index] ?? ""
                }
                Rectangle {
                    visible: entry.index < 4
                    anchors.bottom: parent.bottom
                    width: parent.width
                    height: Theme.hairline
                    color: Theme.line
                }
            }
        }
    }
    Row {
        id: buttons

        x: Theme.padding
        width: parent.width - 2 * x
        anchors.bottom: parent.bottom
        anchors.bottomMargin: Theme.buttonsBottom
        spacing: Theme.large ? 16 : 8

        CardButton {
            id: tryNow

            objectName: "tryNow"
            width: Math.round((parent.width - parent.spacing) * (Theme.large ? 0.64 : 0.58))
            centred: true
            filled: true
            glyph: "arrows"
            text: panel.words.tryNow
            onClicked: panel.pill.tryNow()
        }
        CardButton {
            objectName: "closeDetail"
            width: parent.width - parent.spacing - tryNow.width
            centred: true
            fill: Theme.sunken
            text: panel.words.close
            onClicked: panel.pill.close()
        }
    }
}
