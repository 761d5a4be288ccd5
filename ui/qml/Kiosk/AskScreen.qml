import QtQuick
import Kiosk.Facades

// Somebody has said who they are: now their finger, or a way back.
Rectangle {
    id: screen

    required property Door door
    required property Asking asking

    color: Theme.ask

    MouseArea { anchors.fill: parent }
    TimeBar {
        width: parent.width
        color: Theme.askDeep
        ink: Theme.deepInk
        share: screen.asking.remaining
    }
    Header {
        door: screen.door
        x: Theme.margin
        y: Theme.headerTop
        width: clock.x - x - Theme.margin
        accent: Theme.deepInk
        whole: false
    }
    Line {
        id: clock

        x: parent.width - Theme.margin - width
        y: Theme.headerMiddle - height / 2
        size: Theme.outcomeClockSize
        strong: true
        color: Theme.deepInk
        text: screen.door.clock
    }
    Ring {
        id: ring

        width: Theme.ringSize
        height: width
        x: Theme.ringX - width / 2
        y: Theme.ringY - height / 2
        objectName: "askRing"
        look: screen.asking.reading ? "reading" : "idle"
        ink: Theme.deepInk
        track: Theme.askDeep
    }
    NumberAnimation {
        target: ring
        property: "progress"
        running: screen.asking.shown && screen.asking.reading
        from: 1
        to: 5
        duration: 4 * Theme.arcFill
    }
    Column {
        x: Theme.portrait ? Theme.margin : Theme.ringX + Theme.ringSize / 2 + Theme.answerGap
        y: Theme.portrait ? Theme.ringY + Theme.ringSize / 2 + 2 * Theme.gap : Theme.ringY - height / 2
        width: parent.width - x - Theme.margin
        spacing: Theme.answerSpacing

        Answer {
            width: parent.width
            phrase: screen.asking.title
            phraseSize: Theme.titleSizes[2]
            ink: Theme.deepInk
        }
        Answer {
            objectName: "askedName"
            width: parent.width
            name: screen.asking.name
            initial: screen.asking.initial
            sizes: Theme.askSizes
            ink: Theme.deepInk
        }
        Line {
            width: parent.width
            wrapMode: Text.WordWrap
            size: Theme.lineSize
            color: Theme.deepInk
            text: screen.asking.line
        }
    }
    Beacon {
        visible: !screen.asking.reading
        x: (Theme.doorWidth - width) / 2
        anchors.bottom: parent.bottom
        ink: Theme.deepInk
        faint: Theme.askDeep
    }
    CardButton {
        objectName: "cancelClaim"
        x: parent.width - Theme.margin - width
        width: Theme.answerButton
        anchors.bottom: parent.bottom
        anchors.bottomMargin: Theme.buttonsBottom
        centred: false
        glyphAlways: true
        glyph: "cross"
        text: screen.asking.cancelTitle
        detail: screen.asking.cancelDetail
        fill: Theme.askDeep
        ink: Theme.deepInk
        ink2: Theme.deepInk
        accent: Theme.deepInk
        rim: Theme.deepInk
        pressedInk: Theme.deepInk
        pressedFill: screen.color
        onClicked: screen.asking.cancel()
    }
}
