import QtQuick

// The largest words of an answer: a name, which steps down in size before its first part is
// elided and never loses its initial; or a phrase, which wraps once.
Item {
    id: answer

    property string name: ""
    property string initial: ""
    property string phrase: ""
    property color ink: Theme.ink
    property list<int> sizes: Theme.nameSizes
    property int phraseSize: Theme.titleSizes[0]
    readonly property bool named: name !== ""
    readonly property int nameSize: sizes[large.advanceWidth <= width ? 0 : middle.advanceWidth <= width ? 1 : 2]
    readonly property bool truncated: title.truncated

    implicitHeight: named ? row.height : title.height

    TextMetrics {
        id: large

        font.family: Theme.family
        font.weight: Font.DemiBold
        font.pixelSize: answer.sizes[0]
        text: answer.name + " " + answer.initial
    }
    TextMetrics {
        id: middle

        font.family: Theme.family
        font.weight: Font.DemiBold
        font.pixelSize: answer.sizes[1]
        text: large.text
    }
    Row {
        id: row

        visible: answer.named

        Line {
            objectName: "name"
            width: Math.min(implicitWidth, answer.width - tail.width)
            elide: Text.ElideRight
            size: answer.nameSize
            strong: true
            color: answer.ink
            text: answer.name
        }
        Line {
            id: tail

            objectName: "initial"
            size: answer.nameSize
            strong: true
            color: answer.ink
            text: answer.initial === "" ? "" : " " + answer.initial
        }
    }
    Line {
        id: title

        visible: !answer.named
        width: answer.width
        wrapMode: Text.WordWrap
        maximumLineCount: 2
        elide: Text.ElideRight
        lineHeight: Theme.lineHeight
        size: answer.phraseSize
        strong: true
        color: answer.ink
        text: answer.phrase
    }
}
