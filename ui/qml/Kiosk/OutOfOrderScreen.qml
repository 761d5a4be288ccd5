import QtQuick
import Kiosk.Facades

// No reader: the door stays open by code and by badge.
Rectangle {
    id: screen

    required property Door door
    required property Words words
    required property Pill pill
    required property OtherWays otherWays
    required property Stranger stranger
    // Where two buttons leave no room beside them, staff read above them.
    readonly property bool staffAbove: Theme.portrait && staff.visible
    readonly property int textX: Theme.portrait ? Theme.margin : ring.x + ring.width + Theme.troubleGap

    color: Theme.field

    Header {
        door: screen.door
        x: Theme.margin
        y: Theme.headerTop
        width: Math.min(pillButton.x, clock.x) - x - Theme.gap
    }
    Line {
        id: clock

        x: parent.width - Theme.margin - width
        y: Theme.cornerClockTop
        size: Theme.clockSize
        strong: true
        text: screen.door.clock
    }
    PillButton {
        id: pillButton

        objectName: "troublePill"
        pill: screen.pill
        x: parent.width - Theme.margin - width
        y: Theme.cornerPillTop
        atEnd: true
        bottomGap: height - Theme.pillHeight - Theme.base
    }
    Ring {
        id: ring

        width: Theme.troubleRing
        height: width
        x: Theme.portrait ? (parent.width - width) / 2 : Theme.troubleX
        y: Theme.troubleY - height / 2
        look: "out_of_order"
        track: Theme.faint
        alarm: Theme.high ? Theme.lateBg : Theme.lateFg
    }
    Column {
        x: screen.textX
        y: Theme.portrait ? ring.y + ring.height + Theme.gap : Theme.troubleTop
        width: parent.width - x - Theme.margin
        spacing: Theme.troubleSpacing

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
            color: screen.door.explaining ? Theme.brand : Theme.ink2
            text: screen.door.troubleLine
        }
        Item {
            width: 1
            height: Theme.troubleBreak
        }
        Row {
            width: parent.width
            spacing: Theme.gap

            CardButton {
                id: code

                objectName: "enterCode"
                width: Math.min(parent.width, Theme.enterWidth)
                height: Theme.enterHeight
                filled: true
                glyph: "dots"
                glyphAlways: true
                titleSize: Theme.enterSize
                text: screen.words.enterCode
                detail: screen.words.countsSame
                onClicked: screen.otherWays.enterPage()
            }
            CardButton {
                objectName: "badge"
                visible: screen.otherWays.badge
                width: parent.width - code.width - parent.spacing
                height: Theme.enterHeight
                glyph: "badge"
                glyphAlways: true
                titleSize: Theme.enterSize
                text: screen.words.badge
                detail: screen.words.holdUp
                onClicked: screen.door.explainBadge()
            }
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
        y: screen.staffAbove ? language.y - height - 2 * Theme.gap : language.y + (language.height - height) / 2
        width: screen.staffAbove ? parent.width - 2 * x : (staff.visible ? staff.x : language.x) - x - Theme.gap
        spacing: Theme.headerGap

        Line {
            width: parent.width
            wrapMode: Text.WordWrap
            color: Theme.ink2
            text: screen.door.troubleStaff
        }
        Line {
            visible: !staff.visible
            width: parent.width
            elide: Text.ElideRight
            strong: true
            text: screen.door.countsLine
        }
    }
    CardButton {
        id: staff

        objectName: "strangerHelp"
        visible: screen.stranger.there
        x: language.x - Theme.gap - width
        width: Theme.languageWidth
        anchors.bottom: parent.bottom
        anchors.bottomMargin: Theme.buttonsBottom
        glyph: "key"
        text: screen.words.forStaff
        detail: screen.words.whatToDo
        onClicked: screen.stranger.open()
    }
    CardButton {
        id: language

        objectName: "troubleLanguage"
        x: parent.width - Theme.margin - width
        width: Theme.languageWidth
        anchors.bottom: parent.bottom
        anchors.bottomMargin: Theme.buttonsBottom
        glyph: "globe"
        text: screen.words.languageName
        detail: screen.words.language
        onClicked: screen.words.next()
    }
}
