pragma ComponentBehavior: Bound

import QtQuick
import Kiosk.Facades

// The person's own code, on a keypad.
Rectangle {
    id: screen

    required property Words words
    required property OtherWays otherWays

    color: Theme.field

    MouseArea { anchors.fill: parent }
    TimeBar {
        width: parent.width
        visible: share < 1
        color: Theme.line
        ink: Theme.brand
        share: screen.otherWays.remaining
    }
    CardButton {
        id: back

        objectName: "back"
        x: Theme.codeEdge
        y: Theme.codeTop
        width: Theme.backWidth
        centred: true
        glyph: "back"
        text: Theme.large ? screen.words.back : ""
        Accessible.name: screen.words.back
        onClicked: screen.otherWays.leave()
    }
    Line {
        id: title

        x: Theme.large ? Theme.codeEdge : back.x + back.width + Theme.gap
        y: Theme.large ? back.y + back.height + Theme.codeTitleGap : back.y + (back.height - height) / 2
        width: Theme.large ? fields.width : Theme.codeTitleWidth
        wrapMode: Text.WordWrap
        size: Theme.codeTitleSize
        lineHeight: Theme.lineHeight
        strong: true
        text: screen.words.codeTitle
    }
    Column {
        id: fields

        x: Theme.codeEdge
        y: Theme.large ? title.y + title.height + Theme.codeTitleGap : back.y + back.height + Theme.gap
        width: (Theme.portrait ? parent.width : keypad.x) - 2 * x
        spacing: Theme.tight
        Accessible.role: Accessible.StaticText
        Accessible.name: screen.otherWays.spoken

        Line {
            strong: true
            color: Theme.brand
            text: screen.words.codeLabel
        }
        Row {
            id: boxes

            readonly property real boxWidth: Math.min(Theme.boxWidth, (width - (screen.otherWays.boxes - 1) * spacing) / screen.otherWays.boxes)

            width: parent.width
            spacing: Theme.boxGap

            Repeater {
                model: screen.otherWays.boxes

                Rectangle {
                    id: box

                    required property int index
                    readonly property bool filled: index < screen.otherWays.digits.length
                    readonly property bool here: index === screen.otherWays.digits.length

                    width: boxes.boxWidth
                    height: Theme.boxHeight
                    radius: Theme.fieldRadius
                    color: Theme.raised
                    border.color: here ? Theme.brand : Theme.edge
                    border.width: here ? Theme.focusBorder : Theme.border

                    Line {
                        anchors.centerIn: parent
                        size: Theme.digitSize
                        strong: true
                        text: screen.otherWays.digits.charAt(box.index)
                    }
                    Rectangle {
                        anchors.centerIn: parent
                        visible: box.here
                        width: Theme.caretWidth
                        height: Theme.caretHeight
                        radius: width / 2
                        color: Theme.brand
                    }
                }
            }
        }
    }
    Glyph {
        visible: screen.otherWays.badge
        name: "badge"
        ink: Theme.brand
        x: Theme.codeEdge
        y: hint.y + (hint.height - height) / 2
        width: Theme.buttonGlyph
        height: width
    }
    Line {
        id: hint

        x: Theme.codeEdge + (screen.otherWays.badge ? Theme.buttonGlyph + Theme.gap : 0)
        y: Theme.portrait ? fields.y + fields.height + Theme.gap : parent.height - Theme.codeEdge - height
        width: fields.x + fields.width - x
        wrapMode: Text.WordWrap
        color: Theme.ink2
        text: screen.otherWays.hint
    }
    Grid {
        id: keypad

        x: Theme.portrait ? (parent.width - width) / 2 : parent.width - width - Theme.codeTop
        y: Theme.portrait ? parent.height - height - Theme.codeEdge : (parent.height - height) / 2
        columns: 3
        spacing: Theme.keyGap

        Repeater {
            model: ["1", "2", "3", "4", "5", "6", "7", "8", "9"]

            Key {
                required property string modelData

                objectName: "key" + modelData
                text: modelData
                onClicked: screen.otherWays.press(modelData)
            }
        }
        Key {
            objectName: "erase"
            sunken: true
            glyph: "erase"
            text: screen.words.erase
            onClicked: screen.otherWays.erase()
        }
        Key {
            objectName: "key0"
            text: "0"
            onClicked: screen.otherWays.press("0")
        }
        Key {
            objectName: "enter"
            filled: true
            size: Theme.keyWordSize
            text: screen.words.enter
            onClicked: screen.otherWays.confirm()
        }
    }
}
