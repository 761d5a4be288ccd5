import QtQuick

// A line of text: one family, two weights, no markup.
Text {
    property bool strong: false
    property int size: Theme.bodySize

    color: Theme.ink
    font.family: Theme.family
    font.pixelSize: size
    font.weight: strong ? Font.DemiBold : Font.Normal
    textFormat: Text.PlainText
}
