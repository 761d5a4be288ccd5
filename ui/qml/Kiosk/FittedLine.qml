import QtQuick

// A title that shrinks to three quarters before it is elided.
Line {
    fontSizeMode: Text.HorizontalFit
    minimumPixelSize: Math.round(size * Theme.smallest)
    elide: Text.ElideRight
    maximumLineCount: 1
}
