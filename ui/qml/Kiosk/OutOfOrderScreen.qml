import QtQuick
import Kiosk.Facades

// No reader: the door stays open by code.
Rectangle {
    id: screen

    required property Door door
    required property Words words
    required property Pill pill
    required property OtherWays otherWays
    readonly property int textX: Theme.portrait ? Theme.margin : ring.x + ring.width + Theme.pick(32, 104)

    color: Theme.field

    Header {
        door: screen.door
        x: Theme.margin
        y: Theme.large ? 32 : 17
        width: Math.min(pillButton.x, clock.x) - x - Theme.gap
    }
    Line {
        id: clock

        x: parent.width - Theme.margin - width
        y: Theme.large ? 20 : 5
        size: Theme.clockSize
        strong: true
        text: screen.door.clock
    }
    PillButton {
        id: pillButton

        objectName: "troublePill"
        pill: screen.pill
        x: parent.width - Theme.margin - width
        y: (Theme.large ? 117 : 62) - Theme.base
        bottomGap: height - Theme.pillHeight - Theme.base
    }
    Ring {
        id: ring

        width: Math.round(Theme.ringSize * (Theme.large ? 1 : 0.8))
        height: width
        x: Theme.portrait ? (parent.width - width) / 2 : Theme.large ? 104 : Theme.margin
        y: Math.round(parent.height * (Theme.portrait ? 0.26875 : 0.475)) - height / 2
        look: "out_of_order"
        track: Theme.faint
        alarm: Theme.high ? Theme.lateBg : Theme.lateFg
    }
    Column {
        x: screen.textX
        y: Theme.portrait ? ring.y + ring.height + Theme.gap : Theme.large ? Math.round(parent.height * 0.285) : 118
        width: parent.width - x - Theme.margin
        spacing: Theme.large ? 12 : 4

        FittedLine {
            width: parent.width
            size: Theme.troubleSize
            strong: true
            text: screen.door.troubleTitle
        }
        Line {
            width: parent.width
            wrapMode: Text.WordWrap
            size: Theme.promptDetailSize
            color: Theme.ink2
            text: screen.door.troubleLine
        }
        Item {
            width: 1
            height: Theme.large ? 16 : 2
        }
        CardButton {
            objectName: "enterCode"
            width: Math.min(parent.width, Theme.large ? 400 : 280)
            height: Theme.large ? 144 : Theme.buttonHeight
            filled: true
            glyph: "dots"
            glyphAlways: true
            titleSize: Theme.pick(26, 32)
            text: screen.words.enterCode
            detail: screen.words.countsSame
            onClicked: screen.otherWays.enterPage()
        }
    }
    Rectangle {
        x: Theme.margin
        y: language.y - Theme.gap + Theme.base
        width: parent.width - 2 * x
        height: Theme.hairline
        color: Theme.line
        visible: Theme.large
    }
    Column {
        x: Theme.margin
        anchors.verticalCenter: language.verticalCenter
        width: language.x - x - Theme.gap
        spacing: Theme.large ? 6 : 2

        Line {
            width: parent.width
            wrapMode: Text.WordWrap
            color: Theme.ink2
            text: screen.door.troubleStaff
        }
        Line {
            width: parent.width
            elide: Text.ElideRight
            strong: true
            text: screen.door.countsLine
        }
    }
    CardButton {
        id: language

        objectName: "troubleLanguage"
        x: parent.width - Theme.margin - width
        width: Theme.large ? 240 : 168
        anchors.bottom: parent.bottom
        anchors.bottomMargin: Theme.buttonsBottom
        glyph: "globe"
        text: screen.words.languageName
        detail: screen.words.language
        onClicked: screen.words.next()
    }
}
