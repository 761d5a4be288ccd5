import QtQuick
import Kiosk.Facades

// Clock, counts and who came last.
Rectangle {
    id: panel

    required property Door door
    required property RosterModel roster
    required property Pill pill

    color: Theme.surface

    Rectangle {
        visible: Theme.high
        width: Theme.portrait ? parent.width : Theme.border
        height: Theme.portrait ? Theme.border : parent.height
        color: Theme.edge
    }
    Line {
        id: clock

        visible: !Theme.portrait
        x: Theme.padding
        y: Theme.clockTop
        size: Theme.clockSize
        strong: true
        text: panel.door.clock
    }
    Line {
        visible: !Theme.portrait
        x: Theme.padding
        y: Theme.dateTop
        size: Theme.dateSize
        color: Theme.ink2
        text: Theme.large ? panel.door.dateLong : panel.door.dateShort
    }
    Line {
        id: number

        x: Theme.portrait ? Theme.margin : Theme.padding
        y: Theme.countTop
        size: Theme.countSize
        strong: true
        text: panel.door.present
    }
    Line {
        anchors.baseline: number.baseline
        x: number.x + number.width + Theme.rowInset
        width: rest.x - x - Theme.base
        elide: Text.ElideRight
        color: Theme.ink2
        text: whole.advanceWidth <= width ? whole.text : panel.door.presentShort

        TextMetrics {
            id: whole

            font.family: Theme.family
            font.pixelSize: Theme.bodySize
            text: panel.door.presentText
        }
    }
    Line {
        id: rest

        anchors.baseline: number.baseline
        x: parent.width - number.x - width
        color: Theme.ink2
        text: panel.door.restText
    }
    CountBar {
        id: bar

        x: number.x
        y: number.y + Theme.countBarTop
        width: parent.width - 2 * x
        onTime: panel.door.onTimeShare
        late: panel.door.lateShare
    }
    ListView {
        id: list

        readonly property real floor: Theme.portrait ? parent.height : pillButton.drawnTop - Theme.tight

        objectName: "roster"
        x: number.x - Theme.rowInset
        y: bar.y + Theme.barHeight + Theme.rowInset
        width: parent.width - 2 * x
        height: Math.floor((floor - y) / Theme.rowHeight) * Theme.rowHeight
        clip: true
        model: panel.roster
        reuseItems: true
        boundsBehavior: Flickable.StopAtBounds
        onMovementEnded: goBack.restart()

        delegate: RosterRow { width: ListView.view.width }
        add: Transition {
            NumberAnimation { property: "y"; from: 0; duration: Theme.rowMove; easing.type: Easing.OutCubic }
        }
        move: Transition {
            NumberAnimation { property: "y"; duration: Theme.rowMove; easing.type: Easing.OutCubic }
        }
        displaced: Transition {
            NumberAnimation { property: "y"; duration: Theme.rowMove; easing.type: Easing.OutCubic }
        }
    }
    Timer {
        id: goBack

        interval: Theme.listReturn
        onTriggered: list.positionViewAtBeginning()
    }
    PillButton {
        id: pillButton

        objectName: "pill"
        visible: !Theme.portrait
        pill: panel.pill
        x: Theme.padding
        anchors.bottom: parent.bottom
    }
}
