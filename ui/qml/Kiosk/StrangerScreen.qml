pragma ComponentBehavior: Bound

import QtQuick
import Kiosk.Facades

// For staff: what a reader that is not ours may become, and the command for each.
Rectangle {
    id: screen

    required property Words words
    required property Stranger stranger

    color: Theme.field

    MouseArea { anchors.fill: parent }
    CardButton {
        id: back

        objectName: "strangerBack"
        x: Theme.codeEdge
        y: Theme.codeTop
        width: Theme.backWidth
        centred: true
        glyph: "back"
        text: Theme.large ? screen.words.back : ""
        Accessible.name: screen.words.back
        onClicked: screen.stranger.close()
    }
    Column {
        id: head

        x: back.x + back.width + Theme.gap
        y: Math.max(back.y, back.y + (back.height - height) / 2)
        width: parent.width - x - Theme.codeEdge
        spacing: Theme.tight

        FittedLine {
            width: parent.width
            size: Theme.detailTitleSize
            strong: true
            text: screen.stranger.title
        }
        Line {
            width: parent.width
            wrapMode: Text.WordWrap
            lineHeight: Theme.detailLineHeight
            size: Theme.detailSize
            color: Theme.ink2
            text: screen.stranger.line
        }
    }
    Column {
        x: Theme.codeEdge
        y: Math.max(back.y + back.height, head.y + head.height) + Theme.gap
        width: parent.width - 2 * x
        spacing: Theme.gap

        Repeater {
            model: screen.stranger.choices

            Column {
                id: choice

                required property int index
                required property string modelData

                width: parent.width
                spacing: Theme.tight

                Rectangle {
                    width: parent.width
                    height: Theme.hairline
                    color: Theme.line
                }
                Line {
                    width: parent.width
                    wrapMode: Text.WordWrap
                    strong: true
                    size: Theme.rowNameSize
                    text: choice.modelData
                }
                Line {
                    width: parent.width
                    wrapMode: Text.WordWrap
                    size: Theme.bodySize
                    color: Theme.ink2
                    text: screen.stranger.reasons[choice.index]
                }
                Line {
                    width: parent.width
                    wrapMode: Text.WordWrap
                    strong: true
                    size: Theme.bodySize
                    color: Theme.brand
                    text: screen.stranger.commands[choice.index]
                }
            }
        }
    }
}
