import QtQuick
import Kiosk.Facades

// Place your finger; and, while it is being read, hold still.
Item {
    id: screen

    required property Door door
    required property Words words
    required property OtherWays otherWays
    // Upright, the pill's details lie where the buttons are.
    property bool bare: false
    readonly property bool reading: door.phase === "reading"
    readonly property bool beside: !Theme.large && !Theme.portrait

    Header {
        door: screen.door
        x: Theme.margin
        y: Theme.headerTop
        width: parent.width - 2 * x - (Theme.portrait ? clockSpace.width : 0)
    }
    Item {
        id: clockSpace

        width: Theme.clockWidth
    }
    Ring {
        id: ring

        objectName: "readingRing"
        width: Theme.ringSize
        height: width
        x: Theme.ringX - width / 2
        y: Theme.ringY - height / 2
        look: screen.reading ? "reading" : "idle"
        ink: Theme.brand
        track: Theme.line

        Press {
            objectName: "ring"
            anchors.fill: parent
            // Upright, what can be pressed of the pill reaches down beside the ring.
            anchors.topMargin: Theme.portrait ? Theme.margin : 0
            Accessible.name: screen.words.showReader
            onClicked: screen.door.pointAtReader()
        }
    }
    NumberAnimation {
        target: ring
        property: "progress"
        running: screen.reading
        from: 1
        to: 5
        duration: 4 * Theme.arcFill
    }
    Column {
        id: prompt

        x: screen.beside ? Theme.ringX + Theme.ringSize / 2 + Theme.gap + Theme.base : Theme.margin
        y: screen.beside ? Theme.ringY - height / 2 : Theme.ringY + Theme.ringSize / 2 + Theme.promptGap
        width: parent.width - x - Theme.margin + (screen.beside ? Theme.base : 0)
        spacing: Theme.promptSpacing

        Line {
            width: parent.width
            horizontalAlignment: screen.beside ? Text.AlignLeft : Text.AlignHCenter
            wrapMode: Text.WordWrap
            lineHeight: Theme.lineHeight
            size: Theme.promptSize
            strong: true
            text: screen.door.prompt
        }
        Line {
            width: parent.width
            horizontalAlignment: screen.beside ? Text.AlignLeft : Text.AlignHCenter
            wrapMode: Text.WordWrap
            size: Theme.promptDetailSize
            color: Theme.ink2
            text: screen.door.promptDetail
        }
    }
    Beacon {
        id: beacon

        objectName: "beacon"
        x: (parent.width - width) / 2
        anchors.bottom: parent.bottom
        running: !screen.reading
    }
    Connections {
        target: screen.door

        function onPointed() { beacon.pulse() }
    }
    CardButton {
        objectName: "otherWays"
        visible: !screen.reading && !screen.bare
        x: Theme.margin
        width: language.width
        anchors.bottom: parent.bottom
        anchors.bottomMargin: Theme.buttonsBottom
        glyph: "dots"
        text: screen.words.otherWays
        detail: screen.otherWays.summary
        onClicked: screen.otherWays.enterPage()
    }
    CardButton {
        id: language

        objectName: "language"
        visible: !screen.reading && !screen.bare
        x: parent.width - Theme.margin - width
        width: (parent.width - 2 * Theme.margin - Theme.beaconWidth - 2 * Theme.beaconGap) / 2
        anchors.bottom: parent.bottom
        anchors.bottomMargin: Theme.buttonsBottom
        glyph: "globe"
        text: screen.words.languageName
        detail: screen.words.language
        onClicked: screen.words.next()
    }
}
