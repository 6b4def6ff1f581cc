// Package profiler turns traces into profiles and profiles into comparisons. It is pure: no files, no clock, no boards.
//
// A Profile is what a run showed, summarised by the rules that docs/measuring.md states; a Comparison aligns two of them
// by the imported nodes that their layers stand for. Absent is not zero: a percentile, score or fact that was not measured
// is nil. Start reading at Summarize, then Compare.
package profiler

import (
	"fettle/profiler/trace"
)

// Profile is one summarised run. Its JSON form is what scripts, the history and reports share. Times are nanoseconds.
type Profile struct {
	Schema         int            `json:"schema"`
	ID             string         `json:"id"` // names the run in the history; "" until it is kept
	TakenUnix      int64          `json:"taken_unix"`
	Model          trace.Model    `json:"model"`
	Target         trace.Target   `json:"target"`
	Runtime        trace.Runtime  `json:"runtime"`
	Plan           trace.Plan     `json:"plan"`
	Clean          Clean          `json:"clean"`
	Layers         []Layer        `json:"layers"`
	UnattributedNs float64        `json:"unattributed_ns"` // clean p50 less the layers; may be negative
	Closure        float64        `json:"closure"`         // |sum of layers - clean| / clean
	ClosureRaw     float64        `json:"closure_raw"`     // the same with the instrumented times as they were read
	ObserverCost   float64        `json:"observer_cost"`   // how much longer an instrumented inference is, as a share
	FloorNs        *float64       `json:"floor_ns"`        // sum of the layers' floors; nil where a layer that multiplies has none
	Unit           string         `json:"unit"`            // what units_ns of the layers are: "launch", or "block" of one launch
	Schedule       string         `json:"schedule,omitempty"`
	Conditions     Conditions     `json:"conditions"`
	Memory         trace.Memory   `json:"memory"`
	Counters       *Counters      `json:"counters,omitempty"` // nil: not asked for
	Energy         *Energy        `json:"energy,omitempty"`   // nil: nothing on the board measures it, or not asked for
	Complete       bool           `json:"complete"`
	Warnings       []string       `json:"warnings,omitempty"`
	Launches       []LaunchResult `json:"launches"`
}

// Clean is the whole inference, nothing recorded inside.
type Clean struct {
	N           int        `json:"n"`
	Launches    int        `json:"launches"`
	P50Ns       *float64   `json:"p50_ns"`
	P90Ns       *float64   `json:"p90_ns"` // nil where n(1-p) < 10
	P99Ns       *float64   `json:"p99_ns"`
	MeanNs      float64    `json:"mean_ns"`
	MinNs       float64    `json:"min_ns"`
	IntervalP50 [2]float64 `json:"interval_p50"`
	Outliers    int        `json:"outliers"` // counted, never dropped
	FirstNs     float64    `json:"first_ns"` // median over launches
	LoadNs      float64    `json:"load_ns"`
	SamplesNs   []int64    `json:"samples_ns"`
}

// LaunchResult is what one start of the program gave: the unit of replication.
type LaunchResult struct {
	N      int     `json:"n"`
	P50Ns  float64 `json:"p50_ns"`
	Canary float64 `json:"canary_ns"`
	Taint  bool    `json:"tainted"`
	Used   bool    `json:"used"` // its samples are those of clean, in this order; tainted launches are left out where others remain
	Why    string  `json:"why,omitempty"`
}

// Layer is one executed step with its share of the clean total.
type Layer struct {
	ID       string     `json:"id"`
	Name     string     `json:"name"`
	Op       string     `json:"op"`
	Origin   []string   `json:"origin"` // ids of nodes of the imported model
	Kernel   string     `json:"kernel"`
	Why      string     `json:"why,omitempty"` // what was measured where that chose the kernel
	DType    string     `json:"dtype"`
	Device   string     `json:"device"`
	Threads  int        `json:"threads"`
	P50Ns    float64    `json:"p50_ns"` // scaled to the clean total
	P90Ns    *float64   `json:"p90_ns"`
	Interval [2]float64 `json:"interval"`
	Share    float64    `json:"share"`
	MACs     int64      `json:"macs"`
	Bytes    int64      `json:"bytes"`
	FloorNs  *float64   `json:"floor_ns"` // nil: no floor is known for this target
	FloorWhy string     `json:"floor_why,omitempty"`
	UnitsNs  []float64  `json:"units_ns,omitempty"` // one median a launch (or block), scaled: what verdicts are made from
	Window   []int      `json:"window,omitempty"`   // kernel height and width of a convolution
	Strides  []int      `json:"strides,omitempty"`

	Counters map[string]float64 `json:"counters,omitempty"` // as of the profile; nil: not asked for, or not to be had by layer
}

// Seals of a run.
const (
	Green = "green" // fixed clock, no throttle, load below 0.1 a core, canary steady
	Amber = "amber" // something of that is missing or not known
	Red   = "red"   // throttled or tainted
)

// Conditions say under what the run was taken, and how far it can be trusted.
type Conditions struct {
	Governor     string    `json:"governor"`
	Hz           []int64   `json:"hz"`
	TemperatureC []float64 `json:"temperature_c"`
	Throttled    *bool     `json:"throttled"`
	Load         *float64  `json:"load"`
	CoreIDs      []int     `json:"core_ids"`
	Moved        bool      `json:"clock_moved,omitempty"` // a clock differed by more than 2 % between blocks
	Seal         string    `json:"seal"`
	Why          []string  `json:"why"` // one sentence each for what keeps the seal from green, with the fix
}

// Verdicts of a comparison.
const (
	Faster       = "faster"
	Slower       = "slower"
	NoDifference = "none" // none shown; Detectable says what could have been seen
)

// Comparison is run B against run A.
type Comparison struct {
	Schema     int        `json:"schema"`
	A          RunRef     `json:"a"`
	B          RunRef     `json:"b"`
	Verdict    string     `json:"verdict"`
	Ratio      [3]float64 `json:"ratio"`      // time of B over time of A: low, middle, high of the 95 % interval
	Detectable float64    `json:"detectable"` // smallest change that this comparison could have shown, as a share
	Floor      float64    `json:"noise_floor"`
	DeltaNs    float64    `json:"delta_ns"` // B less A; the bars add up to it
	Bars       []Bar      `json:"bars"`
	Conditions []string   `json:"conditions"` // what differed between the runs besides the model
	Method     string     `json:"method"`     // "paired launches", "launches" or "blocks of one launch"
	// Inconclusive says why no interval could be made; the ends of ratio and detectable are then Unbounded.
	Inconclusive string `json:"inconclusive,omitempty"`
}

// Unbounded stands in a comparison for an end that nothing measured bounds: JSON has no infinity.
const Unbounded = 1e9

// RunRef names a side of a comparison.
type RunRef struct {
	ID     string  `json:"id"`
	Model  string  `json:"model"`
	Target string  `json:"target"`
	P50Ns  float64 `json:"p50_ns"`
	Seal   string  `json:"seal"`
}

// Bar is one row of the waterfall: layers of A and B that stand for the same imported nodes, many to many.
type Bar struct {
	Label    string     `json:"label"`
	Op       string     `json:"op"`
	Origin   []string   `json:"origin"`
	From     []string   `json:"from"` // layer ids of A
	To       []string   `json:"to"`   // layer ids of B
	FromNs   float64    `json:"from_ns"`
	ToNs     float64    `json:"to_ns"`
	DeltaNs  float64    `json:"delta_ns"`
	Interval [2]float64 `json:"interval"`
	Verdict  string     `json:"verdict"` // after Holm over all rows; "none" where the whole shows no difference
	Why      string     `json:"why"`     // "int8, one step instead of three"
	Kind     string     `json:"kind"`    // "layers", or "unattributed"
}
