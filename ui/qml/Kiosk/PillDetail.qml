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
        y: Theme.detailClockTop
        size: Theme.outcomeClockSize
        strong: true
        text: panel.door.clock
    }
    PillButton {
        objectName: "openPill"
        pill: panel.pill
        x: parent.width - Theme.padding - width
        y: clock.y + (clock.height - Theme.pillHeight) / 2 - drawnY
        atEnd: true
        bottomGap: height - Theme.pillHeight - Theme.base
        onClicked: panel.pill.close()
    }
    Line {
        id: title

        x: Theme.padding
        y: Theme.detailTitleTop
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
        y: title.y + title.height + Theme.detailTitleGap
        width: parent.width - 2 * x
        wrapMode: Text.WordWrap
        lineHeight: Theme.detailLineHeight
        size: Theme.detailSize
        color: Theme.ink2
        text: panel.pill.line
    }
    Column {
        id: rows

        readonly property real rowHeight: Math.min(Theme.detailRow, (buttons.y - Theme.base - y) / 5)

        x: Theme.padding
        y: Math.max(Theme.detailRowsTop, line.y + line.height + Theme.tight)
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
                    size: Theme.detailSize
                    color: Theme.ink2
                    text: entry.modelData
                }
                FittedLine {
                    anchors.verticalCenter: parent.verticalCenter
                    anchors.right: parent.right
                    width: parent.width - label.width - Theme.base
                    horizontalAlignment: Text.AlignRight
                    size: Theme.detailSize
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
        spacing: Theme.keyGap

        CardButton {
            id: tryNow

            objectName: "tryNow"
            width: Math.round((parent.width - parent.spacing) * Theme.tryShare)
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
