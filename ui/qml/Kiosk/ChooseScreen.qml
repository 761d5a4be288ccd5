pragma ComponentBehavior: Bound

import QtQuick
import Kiosk.Facades

// The time is not known: somebody says which session it is. Fingers are read all the same.
Rectangle {
    id: screen

    required property Choosing choosing

    color: Theme.field

    MouseArea { anchors.fill: parent }
    Column {
        id: head

        x: Theme.margin
        y: Theme.headerTop
        width: parent.width - 2 * x
        spacing: Theme.tight

        FittedLine {
            width: parent.width
            size: Theme.detailTitleSize
            strong: true
            text: screen.choosing.title
        }
        Line {
            width: parent.width
            wrapMode: Text.WordWrap
            lineHeight: Theme.detailLineHeight
            size: Theme.bodySize
            color: Theme.ink2
            text: screen.choosing.line
        }
    }
    Grid {
        id: cards

        readonly property real cardWidth: (width - (columns - 1) * columnSpacing) / columns
        readonly property int lines: Math.ceil(screen.choosing.titles.length / columns)
        readonly property real room: screen.height - y - Theme.buttonsBottom - (lines - 1) * rowSpacing

        x: Theme.margin
        y: head.y + head.height + Theme.gap
        width: parent.width - 2 * x
        columns: Theme.portrait ? 1 : 2
        columnSpacing: Theme.keyGap
        rowSpacing: Theme.keyGap

        Repeater {
            model: screen.choosing.titles

            CardButton {
                required property int index
                required property string modelData

                objectName: "choice" + index
                width: cards.cardWidth
                height: Math.min(Theme.buttonHeight, cards.room / cards.lines)
                fill: index === screen.choosing.titles.length - 1 ? Theme.sunken : Theme.raised
                text: modelData
                detail: screen.choosing.details[index] ?? ""
                onClicked: screen.choosing.choose(index)
            }
        }
    }
}
