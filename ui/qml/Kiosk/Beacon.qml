pragma ComponentBehavior: Bound

import QtQuick
import Kiosk.Facades

// Three chevrons and a bar at the edge where the real reader is.
Item {
    id: beacon

    property color ink: Theme.brand
    property color faint: Theme.line
    property bool running: true
    // 0 at rest, then each chevron in turn.
    property int lit: 0

    function pulse() { steps.restart() }

    width: Theme.beaconWidth
    height: Theme.beaconRise

    Repeater {
        model: 3

        Glyph {
            required property int index

            name: "chevron"
            stroke: Theme.chevronStroke
            ink: (beacon.lit === 0 ? index > 0 : beacon.lit === index + 1) ? beacon.ink : beacon.faint
            width: Theme.chevronSize
            height: Theme.chevronSize
            x: (beacon.width - width) / 2
            y: index * Theme.chevronStep
        }
    }
    Rectangle {
        anchors.bottom: parent.bottom
        width: parent.width
        height: Theme.beaconHeight
        radius: height / 2
        color: beacon.ink
    }
    Timer {
        interval: Theme.beaconRest
        repeat: true
        running: beacon.running && beacon.visible && !Theme.reducedMotion
        onTriggered: steps.restart()
    }
    SequentialAnimation {
        id: steps

        PropertyAction { target: beacon; property: "lit"; value: 1 }
        PauseAnimation { duration: Theme.beaconStep }
        PropertyAction { target: beacon; property: "lit"; value: 2 }
        PauseAnimation { duration: Theme.beaconStep }
        PropertyAction { target: beacon; property: "lit"; value: 3 }
        PauseAnimation { duration: Theme.beaconStep }
        PropertyAction { target: beacon; property: "lit"; value: 0 }
    }
}
