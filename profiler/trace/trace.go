// Package trace holds what a run recorded: plain numbers with the conditions under which they were taken. The agent writes
// traces, history keeps them, profiler reads them.
//
// It computes nothing but its own digest. Start reading at Trace.
package trace

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Schema is the version of the form of a trace and of a profile.
const Schema = 1

// Trace is one measurement of one model on one target with one runtime: several launches of the same program.
type Trace struct {
	Schema   int      `json:"schema"`
	Model    Model    `json:"model"`
	Target   Target   `json:"target"`
	Runtime  Runtime  `json:"runtime"`
	Plan     Plan     `json:"plan"`
	Steps    []Step   `json:"steps"`
	Launches []Launch `json:"launches"`
	Schedule string   `json:"schedule,omitempty"` // names the interleaved order that this trace shares with another; launch i of both is a pair
	Again    int      `json:"again,omitempty"`    // launches that were measured because as many others were disturbed
	End      *End     `json:"end,omitempty"`      // nil: the stream was cut, this is an interrupted run
}

// Model names what ran.
type Model struct {
	SHA256 string `json:"sha256"`
	Name   string `json:"name"`
}

// Target names where it ran.
type Target struct {
	Name    string   `json:"name"`
	SoC     string   `json:"soc"`
	Arch    string   `json:"arch"`
	ISA     []string `json:"isa"`
	CPU     string   `json:"cpu"`
	Cores   int      `json:"cores"`
	OS      string   `json:"os"`
	Kernel  string   `json:"kernel"`
	MemoryB int64    `json:"memory_bytes"`
	// MaxHz is the highest clock of the cores that run; 0: the system does not say.
	MaxHz int64 `json:"max_hz,omitempty"`
	// MemoryBps is the measured speed of reading memory that no cache holds, and CacheB the largest cache; 0: not measured, not known.
	MemoryBps float64 `json:"memory_bytes_per_second,omitempty"`
	CacheB    int64   `json:"cache_bytes,omitempty"`
	// NoiseFloor is the change that identical code shows on this target, as a share; nil: never measured.
	NoiseFloor *float64 `json:"noise_floor,omitempty"`
	AgentSHA   string   `json:"agent_sha256,omitempty"`
}

// Runtime names the engine.
type Runtime struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Plan says how it ran.
type Plan struct {
	Threads   int    `json:"threads"`
	Fusions   int    `json:"fusions"`   // steps that cover more than one imported node
	Precision string `json:"precision"` // dtypes of the steps: "float32", "int8", "mixed"
}

// Step is one executed unit, in order.
type Step struct {
	ID      string   `json:"id"`
	Name    string   `json:"name"`
	Op      string   `json:"op"`
	Origin  []string `json:"origin"` // ids of nodes of the imported model
	Kernel  string   `json:"kernel"`
	Why     string   `json:"why,omitempty"` // what was measured where that chose the kernel
	DType   string   `json:"dtype"`
	Device  string   `json:"device"`
	Threads int      `json:"threads"`
	MACs    int64    `json:"macs"`
	Bytes   int64    `json:"bytes"`
	Window  []int    `json:"window,omitempty"`  // kernel height and width of a convolution; empty: not known
	Strides []int    `json:"strides,omitempty"` // of the same
}

// Launch is one start of the program on the target. Times are nanoseconds.
type Launch struct {
	LoadNs       int64      `json:"load_ns"`      // prepare the model, until it could run
	FirstNs      int64      `json:"first_ns"`     // the first inference
	Warmup       []int64    `json:"warmup_ns"`    // inferences before the times settled
	Clean        []int64    `json:"clean_ns"`     // whole inferences, nothing recorded inside
	Instrumented [][]int64  `json:"steps_ns"`     // for each instrumented inference, one number a step
	Whole        []int64    `json:"steps_all_ns"` // the whole of each instrumented inference
	Before       Conditions `json:"before"`
	After        Conditions `json:"after"`
	CanaryNs     []int64    `json:"canary_ns"` // the fixed piece of work, before, between and after
	Memory       Memory     `json:"memory"`
	Counts       *Counts    `json:"counts,omitempty"` // nil: not asked for
}

// Counts are what the processor's counters said of one inference, apart from those that were timed.
type Counts struct {
	Values map[string]float64 `json:"values"`
	Absent []string           `json:"absent,omitempty"` // with the reason

	Layers   map[string][]float64 `json:"layers,omitempty"` // the same, one number a step
	Joules   float64              `json:"joules,omitempty"`
	EnergyBy string               `json:"energy_by,omitempty"` // counter, sensor; "": not measured
	Cost     *CountCost           `json:"cost,omitempty"`      // nil: not measured
}

// CountCost is what counting itself takes. None of it is in the times of a launch: what is counted ran behind them.
type CountCost struct {
	Counters  int     `json:"counters"`
	ReadNs    float64 `json:"read_ns"`              // one reading of all counters
	PlainNs   float64 `json:"plain_ns"`             // an inference without counters
	CountedNs float64 `json:"counted_ns"`           // with them running
	SteppedNs float64 `json:"stepped_ns,omitempty"` // with them read between all steps; 0: not by step
}

// Conditions say under what a block of samples was taken. Absent values are nil or empty, never zero.
type Conditions struct {
	Governor      string    `json:"governor,omitempty"`
	Hz            []int64   `json:"hz,omitempty"`
	TemperatureC  []float64 `json:"temperature_c,omitempty"`
	Throttled     *bool     `json:"throttled,omitempty"`
	ThrottleWhy   string    `json:"throttle_why,omitempty"`
	Load          *float64  `json:"load,omitempty"` // of the whole machine over the last minute, per core
	FreeBytes     *int64    `json:"free_bytes,omitempty"`
	PageFaults    int64     `json:"page_faults"`
	ContextSwitch int64     `json:"context_switches"` // involuntary
	CoreIDs       []int     `json:"core_ids,omitempty"`
	Watts         *float64  `json:"watts,omitempty"`
}

// Memory is what the run held, in bytes.
type Memory struct {
	Weights      int64 `json:"weights"`
	ArenaPlanned int64 `json:"arena_planned"`
	RSSPeak      int64 `json:"rss_peak"`
}

// End closes a complete trace: the number of samples and the digest of everything before it.
type End struct {
	Samples int    `json:"samples"`
	Digest  string `json:"digest"`
}

// Samples counts the clean samples.
func (t *Trace) Samples() int {
	n := 0
	for i := range t.Launches {
		n += len(t.Launches[i].Clean)
	}
	return n
}

// Digest is the SHA-256 of the trace without its end mark, in its JSON form.
func (t *Trace) Digest() string {
	c := *t
	c.End = nil
	b, err := json.Marshal(&c)
	if err != nil {
		return "" // plain data always marshals
	}
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// Close adds the end mark.
func (t *Trace) Close() { t.End = &End{Samples: t.Samples(), Digest: t.Digest()} }

// Complete reports whether the end mark is there and agrees.
func (t *Trace) Complete() bool {
	return t.End != nil && t.End.Samples == t.Samples() && t.End.Digest == t.Digest()
}
