pragma ComponentBehavior: Bound

import QtQuick

// Present, late and the rest, as shares of a bar; always beside the number and the word.
Row {
    id: bar

    property real onTime: 0
    property real late: 0
    readonly property real rest: Math.max(0, 1 - onTime - late)

    height: Theme.barHeight
    spacing: Theme.barGap

    Repeater {
        model: [bar.onTime, bar.late, bar.rest]

        Rectangle {
            required property int index
            required property real modelData

            visible: width > 0
            width: Math.max(0, Math.round(bar.width * modelData) - (index < 2 ? bar.spacing : 0))
            height: bar.height
            radius: height / 2
            color: [Theme.ok, Theme.warn, Theme.line][index]
        }
    }
}
