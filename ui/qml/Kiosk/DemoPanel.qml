pragma ComponentBehavior: Bound

import QtQuick
import Kiosk.Facades

// The demo's own window: virtual fingers, a plug and a cable to pull.
Window {
    id: panel

    required property DemoPanelFacade demo

    title: "Whorl demo"
    width: Theme.demo.width
    height: Theme.demo.height
    color: Theme.surface

    ListView {
        id: names

        objectName: "fingers"
        anchors.fill: parent
        anchors.margins: Theme.base * 2
        anchors.bottomMargin: actions.height + Theme.base * 4
        clip: true
        spacing: Theme.base
        model: panel.demo.names

        delegate: DemoButton {
            required property string modelData

            objectName: "finger " + modelData
            width: ListView.view.width
            glyph: "mark"
            text: modelData
            onClicked: panel.demo.press(modelData)
        }
    }
    Grid {
        id: actions

        readonly property real cell: (width - spacing) / 2

        x: Theme.base * 2
        width: parent.width - 2 * x
        anchors.bottom: parent.bottom
        anchors.bottomMargin: Theme.base * 2
        columns: 2
        spacing: Theme.base

        DemoButton {
            objectName: "unknown"
            width: actions.cell
            glyph: "person"
            text: panel.demo.unknownLabel
            onClicked: panel.demo.pressUnknown()
        }
        DemoButton {
            objectName: "dry"
            width: actions.cell
            glyph: "dots"
            text: panel.demo.dryLabel
            onClicked: panel.demo.pressDry()
        }
        DemoButton {
            objectName: "plug"
            width: actions.cell
            glyph: panel.demo.plugged ? "cross" : "tick"
            text: panel.demo.plugLabel
            onClicked: panel.demo.togglePlug()
        }
        DemoButton {
            objectName: "line"
            width: actions.cell
            glyph: panel.demo.lineUp ? "cross" : "tick"
            text: panel.demo.lineLabel
            onClicked: panel.demo.toggleLine()
        }
    }
}
