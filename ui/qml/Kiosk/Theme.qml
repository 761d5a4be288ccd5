pragma Singleton

import QtQuick

// Every colour, size and duration on the screen. `pick` takes the value of the small layout
// (800x480) and of the large one (1280x800), `shade` a colour per scheme.
QtObject {
    property real width: 1280
    property real height: 800
    property string scheme: "light"
    property bool reducedMotion: false

    readonly property bool portrait: height > width
    readonly property bool large: Math.min(width, height) >= 720
    readonly property bool high: scheme === "high"

    // -- colours
    readonly property color field: shade("#E2ECEB", "#0A191D", "#000000")
    readonly property color surface: shade("#F7FAF9", "#11252A", "#000000")
    readonly property color raised: shade("#FFFFFF", "#1B353B", "#000000")
    readonly property color sunken: shade("#D3E0DF", "#050F12", "#000000")
    readonly property color hot: shade("#E4F1EA", "#163A33", "#003A1D")
    readonly property color line: shade("#C2D0CF", "#294248", "#FFFFFF")
    readonly property color faint: shade("#A9BCBC", "#35525A", "#FFFFFF")
    readonly property color edge: shade("#637A7D", "#76939A", "#FFFFFF")
    readonly property color ink: shade("#0B2126", "#EAF2F1", "#FFFFFF")
    readonly property color ink2: shade("#40565A", "#A5B9BB", "#FFFFFF")
    readonly property color undo: shade("#8FDBE2", "#0D5763", "#6B5F00")
    readonly property color brand: shade("#0D5763", "#7FD0D8", "#FFE500")
    readonly property color brandInk: shade("#FFFFFF", "#04181C", "#000000")
    readonly property color accepted: shade("#0B6B3F", "#0B6B3F", "#00E676")
    readonly property color acceptedDeep: shade("#08512F", "#08512F", "#000000")
    readonly property color already: shade("#1D4FB0", "#1D4FB0", "#8AB8FF")
    readonly property color alreadyDeep: shade("#153B87", "#153B87", "#000000")
    readonly property color refused: shade("#A81E2D", "#A81E2D", "#FF8A80")
    readonly property color refusedDeep: shade("#7E1420", "#7E1420", "#000000")
    readonly property color retry: shade("#FFC23D", "#F2B632", "#FFE500")
    readonly property color retryDeep: shade("#FFD980", "#FFD980", "#FFFFFF")
    readonly property color retryInk: shade("#2A1C00", "#2A1C00", "#000000")
    readonly property color acceptedInk: shade("#FFFFFF", "#FFFFFF", "#000000")
    readonly property color alreadyInk: shade("#FFFFFF", "#FFFFFF", "#000000")
    readonly property color refusedInk: shade("#FFFFFF", "#FFFFFF", "#000000")
    readonly property color presentBg: shade("#D2EADC", "#123D29", "#00E676")
    readonly property color presentFg: shade("#0A5533", "#9BE3BB", "#000000")
    readonly property color lateBg: shade("#FFE2A0", "#4A3500", "#FFE500")
    readonly property color lateFg: shade("#573A00", "#FFD579", "#000000")
    readonly property color excBg: shade("#E1E1F5", "#2E2B5C", "#C9B8FF")
    readonly property color excFg: shade("#3D378A", "#C6C3FF", "#000000")
    readonly property color absBg: shade("#F8DADB", "#54161D", "#FF8A80")
    readonly property color absFg: shade("#8A1522", "#FFB8BC", "#000000")
    readonly property color expBg: shade("#D3E0DF", "#1F3A40", "#000000")
    readonly property color expFg: shade("#40565A", "#A5B9BB", "#FFFFFF")
    readonly property color ok: shade("#12814E", "#4CC98A", "#00E676")
    readonly property color warn: shade("#B26A00", "#FFC857", "#FFE500")
    readonly property color ask: shade("#0D5763", "#0D5763", "#000000")
    readonly property color askDeep: shade("#093F48", "#093F48", "#000000")
    // On black, a status is written in its light colour.
    readonly property color presentText: high ? presentBg : presentFg
    readonly property color deepInk: high ? ink : acceptedInk
    readonly property color lateRim: high ? acceptedInk : retry

    // -- type
    readonly property string family: "Noto Sans"
    readonly property real lineHeight: 0.86
    readonly property list<int> nameSizes: large ? [112, 88, 64] : [72, 56, 44]
    readonly property list<int> askSizes: large ? [64, 52, 44] : [44, 36, 28]
    readonly property list<int> titleSizes: large ? [88, 80, 64] : [56, 48, 40]
    readonly property int promptSize: pick(38, 56)
    readonly property int clockSize: pick(44, 68)
    readonly property int sessionSize: pick(28, 44)
    readonly property int wordSize: pick(26, 36)
    readonly property int lineSize: pick(22, 30)
    readonly property int countSize: pick(32, 44)
    readonly property int keySize: pick(40, 56)
    readonly property int promptDetailSize: pick(20, 28)
    readonly property int rowNameSize: pick(20, 24)
    readonly property int buttonSize: pick(22, 26)
    readonly property int bodySize: pick(18, 22)
    readonly property int chipSize: pick(16, 18)
    readonly property int pillSize: pick(18, 20)
    readonly property int orgSize: pick(18, 22)
    readonly property int sessionLineSize: pick(18, 24)
    readonly property int dateSize: pick(16, 20)
    readonly property int outcomeClockSize: pick(28, 44)
    readonly property int detailTitleSize: pick(26, 40)
    readonly property int troubleSize: pick(34, 52)
    readonly property int codeTitleSize: pick(28, 44)
    readonly property int codeTitleWidth: 212
    readonly property int digitSize: pick(36, 48)
    readonly property real smallest: 0.75

    // -- space
    readonly property int base: 8
    readonly property int margin: pick(24, 40)
    readonly property int padding: pick(20, 32)
    readonly property int rowHeight: pick(44, 56)
    readonly property int gap: pick(16, 24)
    readonly property int border: high ? 3 : 2
    readonly property int hairline: 1
    readonly property int buttonRadius: pick(16, 20)
    readonly property int keyRadius: pick(16, 24)
    readonly property int fieldRadius: 16
    readonly property int rowRadius: 12
    readonly property int buttonHeight: pick(112, 120)
    readonly property int pillHeight: pick(44, 48)
    readonly property int chipHeight: 32 - (large ? 0 : 4)
    readonly property int markSize: pick(24, 30)
    readonly property int markGap: pick(10, 14)
    readonly property int rowGlyph: pick(20, 24)
    readonly property int chipGlyph: pick(14, 16)
    readonly property int buttonGlyph: pick(28, 36)
    readonly property int barHeight: pick(6, 8)
    readonly property int countdownHeight: pick(4, 6)
    readonly property real buttonStroke: 2
    readonly property real chipStroke: 2.6

    // -- places
    readonly property real doorWidth: portrait ? width : Math.round(width * (large ? 0.625 : 0.59))
    readonly property real panelTop: portrait ? Math.round(height * 0.50625) : 0
    readonly property real panelBottom: portrait ? height - buttonsBottom - buttonHeight - gap : height
    readonly property real ringSize: Math.round(height * (portrait ? 0.2375 : large ? 0.37 : 0.4))
    readonly property real ringX: large || portrait ? doorWidth / 2 : margin + ringSize / 2
    readonly property real ringY: Math.round(height * (portrait ? 0.26875 : large ? 0.43 : 0.475))
    readonly property int buttonsBottom: pick(16, 24)
    readonly property int beaconWidth: pick(72, 96)
    readonly property int beaconHeight: pick(8, 10)
    readonly property int chevronSize: pick(38, 52)
    readonly property int beaconRise: pick(116, 132)
    readonly property int chevronStep: pick(24, 30)
    readonly property real chevronStroke: 2.9
    readonly property int answerButton: Math.min(pick(232, 320), portrait ? (width - beaconWidth) / 2 - margin - beaconGap : width)

    // -- places on the screens
    readonly property int tight: pick(4, 8)
    readonly property int headerTop: pick(17, 32)
    readonly property int headerMiddle: pick(28, 47)
    readonly property int headerGap: pick(2, 4)
    readonly property int promptGap: pick(12, 20)
    readonly property int promptSpacing: pick(4, 2)
    readonly property int clockWidth: clockSize * 3
    readonly property int clockTop: pick(10, 20)
    readonly property int dateTop: pick(62, 101)
    readonly property int countTop: portrait ? pick(8, 25) : pick(90, 160)
    readonly property int countBarTop: pick(50, 72)
    readonly property int barGap: 4
    readonly property int rowInset: pick(8, 12)
    readonly property int rowText: pick(38, 52)
    readonly property int timeWidth: pick(54, 68)
    readonly property int chipGap: pick(6, 12)
    readonly property int chipSpacing: 6
    readonly property int buttonSpacing: gap - 4
    readonly property int beaconGap: pick(8, 12)
    readonly property int pillGap: pick(12, 24)
    readonly property int pillInset: pick(17, 18)
    readonly property int pillSpacing: 10
    readonly property int pillDot: 10
    readonly property int pillGlyph: 20
    readonly property int cornerClockTop: pick(5, 20)
    readonly property int cornerPillTop: pick(54, 109)
    readonly property int answerGap: pick(32, 52)
    readonly property int answerSpacing: pick(6, 8)
    readonly property int asideSize: pick(18, 24)
    readonly property int hintWidth: pick(54, 84)
    readonly property int hintHeight: pick(80, 124)
    readonly property int plateInset: pick(14, 19)
    readonly property int plateHeight: pick(40, 52)
    readonly property int plateGlyph: pick(22, 26)
    readonly property int plateSize: pick(18, 26)
    readonly property int troubleGap: pick(32, 104)
    readonly property int troubleRing: Math.round(ringSize * (large ? 1 : 0.8))
    readonly property int troubleX: pick(margin, 104)
    readonly property int troubleY: Math.round(height * (portrait ? 0.26875 : 0.475))
    readonly property int troubleTop: large ? Math.round(height * 0.285) : 112
    readonly property int troubleSpacing: pick(4, 12)
    readonly property int troubleBreak: pick(2, 16)
    readonly property int enterWidth: pick(280, 400)
    readonly property int enterHeight: pick(112, 144)
    readonly property int enterSize: pick(26, 32)
    readonly property int languageWidth: pick(168, 240)
    readonly property int codeEdge: pick(16, 56)
    readonly property int codeTop: pick(8, 56)
    readonly property int codeTitleGap: 34
    readonly property int backWidth: pick(112, 200)
    readonly property int boxWidth: pick(64, 88)
    readonly property int boxHeight: pick(72, 96)
    readonly property int boxGap: pick(8, 12)
    readonly property int caretWidth: 4
    readonly property int caretHeight: pick(32, 42)
    readonly property int focusBorder: border + 2
    readonly property int keyGap: pick(8, 16)
    readonly property int keyWidth: pick(120, 160)
    readonly property int keyHeight: pick(110, 160)
    readonly property int keyGlyph: pick(40, 52)
    readonly property int keyWordSize: pick(24, 32)
    readonly property int detailClockTop: pick(14, 34)
    readonly property int detailTitleTop: pick(60, 120)
    readonly property int detailTitleGap: pick(0, 6)
    readonly property int detailSize: pick(16, 22)
    readonly property real detailLineHeight: 0.95
    readonly property int detailRow: pick(40, 64)
    readonly property int detailRowsTop: pick(0, 292)
    readonly property real tryShare: pick(0.58, 0.64)
    readonly property size demo: Qt.size(360, 720)

    // -- durations, in milliseconds
    readonly property int arcFill: reducedMotion ? 0 : 90
    readonly property int ringClose: reducedMotion ? 0 : 160
    readonly property int rowMove: reducedMotion ? 0 : 160
    readonly property int tintLeave: reducedMotion ? 0 : 600
    readonly property int beaconStep: reducedMotion ? 0 : 160
    readonly property int beaconRest: 4000
    readonly property int listReturn: 15000

    function pick(small: real, big: real): real { return large ? big : small }
    function shade(light: color, dark: color, black: color): color { return high ? black : scheme === "dark" ? dark : light }
    function fieldOf(kind: string): color { return kind === "accepted" ? accepted : kind === "already_in" ? already : kind === "refused" ? refused : retry }
    function deepOf(kind: string): color { return kind === "accepted" ? acceptedDeep : kind === "already_in" ? alreadyDeep : kind === "refused" ? refusedDeep : retryDeep }
    function inkOf(kind: string): color { return kind === "accepted" ? acceptedInk : kind === "already_in" ? alreadyInk : kind === "refused" ? refusedInk : retryInk }
    function deepInkOf(kind: string): color { return kind === "try_again" ? retryInk : deepInk }
}
