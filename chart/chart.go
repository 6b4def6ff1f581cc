// Package chart is the one core of all charts: what a chart shows (Chart), where each mark lies (Layout), and the same
// picture as PNG, SVG or PDF in print colours (Write). A screen paints the Scene that Layout gives; an export replays it.
//
// It imports no window toolkit and decides nothing about models or boards: Bars and Waterfall turn a profile and a
// comparison into charts, and that is all it knows of them. Start reading at Chart, then Layout.
package chart

// Kind says how points are drawn.
type Kind int

// The kinds of charts.
const (
	HBars     Kind = iota // one row a point, length is Y; zero is at the left
	Falls                 // columns: the first and last are totals, those between lead from one to the other
	Lines                 // points joined, with a band where they have intervals
	Histogram             // columns that touch; X is the left edge of each
	Scatter               // points with whiskers
)

// State says how a number came about; each has one look.
type State int

// The states of a number.
const (
	Measured  State = iota // filled
	Predicted              // ring, dashed
	Absent                 // hatched, off the scale
	Rest                   // hatched: what no part explains
	Sum                    // grey: several small ones together
)

// Chart is what is shown, in numbers. The zero value of Width is replaced by a width that fits.
type Chart struct {
	Kind     Kind
	Title    string
	Subtitle string
	Notes    []string // under the chart: n, interval, seal, cut axis
	CutNote  string   // the sentence that is added where the axis of a waterfall begins above zero
	X, Y     Axis
	Series   []Series
	Below    []*Chart // of Lines: panels on the same X, each with its own Y
	Width    float64  // DIP
}

// Axis is a scale with its unit.
type Axis struct {
	Label string
	Unit  string  // "ms": goes into the axis label
	Scale float64 // data units in one unit of the axis, 1e6 for ns shown as ms; 0: 1
	Zero  bool    // starts at zero
	Log   bool
	Whole bool // counts: no ticks between whole numbers
}

// Series are points of one colour, with one mark.
type Series struct {
	Name   string
	Color  Token
	Mark   Shape
	Join   Join // of Lines
	Plain  bool // of Lines: without marks
	Points []Point
}

// Join says how a line leads from a point to the next.
type Join int

// The ways to join points.
const (
	Straight Join = iota
	Stairs        // up or down at the point, then level: what the next one takes holds from here on
	Loose         // not at all
)

// Point is one number with what is known about it.
type Point struct {
	ID       string // finds the mark again: the id of a layer or a run
	Label    string
	Detail   string // second line of the label
	Text     string // what stands at the mark: "7.58 ms"
	Tip      string
	X, Y     float64
	Lo, Hi   float64  // interval of Y; equal: none
	Floor    *float64 // least possible Y
	State    State
	Color    Token // "": that of the series
	From, To float64
}

// Shape is the mark of a series, so that print in grey can be read.
type Shape int

// Marks in the order of runs A to F.
const (
	Square Shape = iota
	Circle
	Triangle
	Diamond
	Cross
	Plus
)
