pragma ComponentBehavior: Bound

import QtQuick
import Kiosk.Facades

// The kiosk's window: the door and its roster; answers and the keypad take the whole of it.
Window {
    id: root

    required property Words words
    required property Door door
    required property RosterModel roster
    required property Pill pill
    required property OtherWays otherWays
    required property Asking asking
    required property Choosing choosing
    required property Stranger stranger
    readonly property bool answering: door.phase === "outcome"
    readonly property bool broken: door.phase === "out_of_order"
    readonly property bool choose: choosing.shown && !otherWays.shown
    readonly property bool covered: answering || broken || otherWays.shown || asking.shown || choose

    property string scheme: "light"
    property bool reducedMotion: false

    // What the first frame does not need is made ready right after it; see Shell.warm.
    property bool warm: false

    title: "Whorl"
    color: Theme.field

    // Not by bindings: Theme must know before anything is laid out by it.
    onWidthChanged: Theme.width = width
    onHeightChanged: Theme.height = height
    onSchemeChanged: Theme.scheme = scheme
    onReducedMotionChanged: Theme.reducedMotion = reducedMotion

    IdleScreen {
        visible: !root.covered
        bare: Theme.portrait && root.pill.shown
        width: Theme.doorWidth
        height: root.height
        door: root.door
        words: root.words
        otherWays: root.otherWays
    }
    RosterPanel {
        visible: !root.covered && !root.pill.shown
        x: Theme.portrait ? 0 : Theme.doorWidth
        y: Theme.panelTop
        width: root.width - x
        height: Theme.panelBottom - y
        door: root.door
        roster: root.roster
        pill: root.pill
    }
    Loader {
        active: Theme.portrait
        visible: !root.covered
        x: root.width - Theme.margin - width
        sourceComponent: PortraitCorner {
            door: root.door
            pill: root.pill
        }
    }
    Loader {
        anchors.fill: parent
        active: root.broken && !root.otherWays.shown && !root.stranger.shown && !root.choose
        sourceComponent: OutOfOrderScreen {
            door: root.door
            words: root.words
            pill: root.pill
            otherWays: root.otherWays
            stranger: root.stranger
        }
    }
    Loader {
        active: root.pill.shown && !root.otherWays.shown && !root.answering && !root.asking.shown && !root.choose
        x: Theme.portrait ? 0 : Theme.doorWidth
        y: Theme.panelTop
        width: root.width - x
        height: root.height - y
        sourceComponent: PillDetail {
            door: root.door
            pill: root.pill
            words: root.words
        }
    }
    Loader {
        anchors.fill: parent
        active: root.stranger.shown && !root.otherWays.shown && !root.choose
        sourceComponent: StrangerScreen {
            words: root.words
            stranger: root.stranger
        }
    }
    Loader {
        anchors.fill: parent
        active: root.choose
        sourceComponent: ChooseScreen { choosing: root.choosing }
    }
    Loader {
        anchors.fill: parent
        active: root.asking.shown
        sourceComponent: AskScreen {
            door: root.door
            asking: root.asking
        }
    }
    Loader {
        anchors.fill: parent
        active: root.otherWays.shown
        sourceComponent: CodeScreen {
            words: root.words
            otherWays: root.otherWays
        }
    }
    Loader {
        anchors.fill: parent
        active: root.warm
        visible: root.answering
        sourceComponent: OutcomeScreen {
            door: root.door
            words: root.words
            otherWays: root.otherWays
        }
    }
}
