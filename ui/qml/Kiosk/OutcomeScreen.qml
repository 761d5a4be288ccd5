import QtQuick
import Kiosk.Facades

// The answer to a finger or a code: one colour, one ring, one word, one name.
Rectangle {
    id: screen

    required property Door door
    required property Words words
    required property OtherWays otherWays
    readonly property int serial: door.serial
    readonly property bool late: door.late !== ""
    readonly property color ink: Theme.inkOf(door.outcome)
    readonly property color deep: Theme.deepOf(door.outcome)
    readonly property int offerWidth: Theme.portrait ? Theme.answerButton : Theme.enterWidth
    readonly property color inkOnDeep: Theme.deepInkOf(door.outcome)

    color: Theme.fieldOf(door.outcome)
    onSerialChanged: closing.restart()

    TimeBar {
        width: parent.width
        color: screen.deep
        ink: screen.ink
        share: screen.door.remaining
    }
    Header {
        door: screen.door
        x: Theme.margin
        y: Theme.headerTop
        width: clock.x - x - Theme.margin
        accent: screen.ink
        whole: false
    }
    Line {
        id: clock

        x: parent.width - Theme.margin - width
        y: Theme.headerMiddle - height / 2
        size: Theme.outcomeClockSize
        strong: true
        color: screen.ink
        text: screen.door.clock
    }
    Ring {
        id: ring

        width: Theme.ringSize
        height: width
        x: Theme.ringX - width / 2
        y: Theme.ringY - height / 2
        look: screen.door.outcome
        ink: screen.ink
        rim: screen.late ? Theme.lateRim : screen.ink
        ground: screen.color
    }
    NumberAnimation {
        id: closing

        target: ring
        property: "closing"
        from: 0
        to: 1
        duration: Theme.ringClose
        easing.type: Easing.OutCubic
    }
    Column {
        id: block

        x: Theme.portrait ? Theme.margin : Theme.ringX + Theme.ringSize / 2 + Theme.answerGap
        y: Theme.portrait ? Theme.ringY + Theme.ringSize / 2 + 2 * Theme.gap : Theme.ringY - height / 2
        width: parent.width - x - Theme.margin
        spacing: Theme.answerSpacing

        Row {
            spacing: Theme.base * 2

            Line {
                anchors.verticalCenter: parent.verticalCenter
                size: Theme.wordSize
                strong: true
                color: screen.ink
                text: screen.door.word
            }
            LatePlate {
                visible: screen.late
                anchors.verticalCenter: parent.verticalCenter
                text: screen.door.late
            }
        }
        Answer {
            objectName: "answer"
            width: parent.width
            name: screen.door.name
            initial: screen.door.initial
            phrase: screen.door.title
            phraseSize: Theme.titleSizes[screen.door.outcome === "refused" ? 0 : 1]
            ink: screen.ink
        }
        Line {
            width: parent.width
            wrapMode: Text.WordWrap
            size: Theme.lineSize
            color: screen.ink
            text: screen.door.line
        }
        Item {
            visible: hint.active
            width: hint.width
            height: hint.height + 2 * Theme.tight

            Loader {
                id: hint

                y: Theme.tight
                active: screen.door.hint === "dry"
                // By its file: its type is known only after the first frame.
                source: "DryHint.qml"
            }
        }
    }
    Line {
        x: Theme.margin
        y: parent.height - Theme.buttonsBottom - Theme.buttonHeight / 2 - height / 2
        width: beacon.x - x - Theme.base
        wrapMode: Text.WordWrap
        size: Theme.asideSize
        color: screen.ink
        text: screen.door.aside
    }
    Beacon {
        id: beacon

        x: (Theme.doorWidth - width) / 2
        anchors.bottom: parent.bottom
        ink: screen.ink
        faint: screen.deep
    }
    CardButton {
        objectName: "answerButton"
        visible: screen.door.action !== ""
        x: parent.width - Theme.margin - width
        width: screen.door.offered ? screen.offerWidth : Theme.answerButton
        height: screen.door.offered ? Theme.enterHeight : implicitHeight
        titleSize: screen.door.offered ? Theme.enterSize : Theme.buttonSize
        anchors.bottom: parent.bottom
        anchors.bottomMargin: Theme.buttonsBottom
        centred: false
        glyphAlways: true
        glyph: screen.door.action === "undo" ? "undo" : screen.door.action === "staff" ? "person" : "dots"
        text: screen.door.actionTitle
        detail: screen.door.actionDetail
        fill: screen.door.offered ? screen.ink : screen.deep
        ink: screen.door.offered ? screen.color : screen.inkOnDeep
        ink2: ink
        accent: ink
        rim: screen.ink
        pressedInk: screen.inkOnDeep
        pressedFill: screen.color
        onClicked: screen.door.action === "other" ? screen.otherWays.enterPage() : screen.door.notYou()
    }
}
