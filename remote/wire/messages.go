package wire

import (
	"encoding/json"

	"fettle/internal/fail"
)

// Verbs that an agent answers.
const (
	VerbHello     = "hello"      // Hello
	VerbFacts     = "facts"      // FactsAsk -> board.Facts
	VerbTidy      = "tidy"       // -> Freed; what can be made or sent again goes
	VerbHave      = "have"       // Have -> Missing
	VerbPut       = "put"        // Put, then the chunks' bytes one after the other -> Stored
	VerbCommit    = "commit"     // bundle.Manifest, since version 3 Signed -> Deployment
	VerbInstall   = "install"    // Install -> Trying..., Deployment
	VerbOffer     = "offer"      // Signed -> Missing, of the chunks of the manifest
	VerbService   = "service"    // ServiceAsk -> ServiceState, or a list of them
	VerbTrust     = "trust"      // Trust -> Trusted
	VerbRollback  = "rollback"   // Back -> Deployment
	VerbList      = "list"       // -> []Deployment
	VerbRemove    = "remove"     // Named -> Freed
	VerbRemoveAll = "remove-all" // takes the whole store away -> Freed
	VerbRun       = "run"        // RunJob, then input tensors -> output tensors, RunDone
	VerbProfile   = "profile"    // ProfileJob, then input tensors -> Events, ProfileDone
	VerbAttach    = "attach"     // Attach -> the Events from there on, ProfileDone
	VerbLease     = "lease"      // LeaseAsk -> Lease
)

// Since is the version of the protocol that brought a verb.
func Since(verb string) int {
	switch verb {
	case VerbTidy, VerbOffer, VerbInstall, VerbTrust, VerbService:
		return 3
	case VerbLease, VerbAttach:
		return 2
	}
	return 1
}

// Hello is what an agent says of itself.
type Hello struct {
	Protocol int    `json:"protocol"`
	Oldest   int    `json:"oldest,omitempty"` // version of the protocol that it still understands; 0: its own only
	Version  string `json:"version"`
	SHA256   string `json:"sha256"` // of its own program
	Arch     string `json:"arch"`
	PID      int    `json:"pid"`
	Store    string `json:"store"` // folder of its store

	Board string `json:"board,omitempty"` // name of the store in signatures, made at random; "": an agent that does not count them
	Zstd  bool   `json:"zstd,omitempty"`  // it takes chunks compressed
	Last  int64  `json:"last,omitempty"`  // largest number of a signature that it has taken
}

// Check refuses an agent that this program does not understand, or that does not understand this program.
func (h Hello) Check() error {
	oldest := h.Oldest
	if oldest == 0 {
		oldest = h.Protocol
	}
	switch {
	case h.Protocol < Oldest:
		return fail.New(fail.Unsupported, "agent %.40s speaks version %d of the protocol, this program %d to %d", h.Version, h.Protocol, Oldest, Version).
			Try("take the old agent off the board with the release that put it there, or let this program put its own")
	case oldest > Version:
		return fail.New(fail.Unsupported, "agent %.40s understands versions %d to %d of the protocol, this program speaks %d", h.Version, oldest, h.Protocol, Version).
			Try("update this program")
	}
	return nil
}

// What a ServiceAsk wants.
const (
	ServiceStart = "start"
	ServiceStop  = "stop"
	ServiceList  = "list"
)

// ServiceAsk is about keeping a deployment running. Supervised has the agent start it and start it again when it dies; without,
// somebody else (systemd) does, and it is only waited for.
type ServiceAsk struct {
	Do         string `json:"do"`
	Name       string `json:"name,omitempty"`
	Supervised bool   `json:"supervised,omitempty"`
}

// ServiceState is how a service goes.
type ServiceState struct {
	Name    string  `json:"name"`
	State   string  `json:"state"` // serving, stopped, "failed: why"
	Version int     `json:"version,omitempty"`
	PID     int     `json:"pid,omitempty"`
	Socket  string  `json:"socket,omitempty"`
	Count   int64   `json:"inferences"`
	P99Ns   int64   `json:"p99_ns,omitempty"` // of the last full window
	Agree   float64 `json:"agree,omitempty"`  // with the version before, in the last full window
	Note    string  `json:"note,omitempty"`   // what it did by itself
}

// FactsAsk says what facts cost more than a look.
type FactsAsk struct {
	Storage bool `json:"storage,omitempty"` // write, flush and read a few MB in the store's folder
	Memory  bool `json:"memory,omitempty"`  // read and copy memory with all cores for a second
}

// Chunk names bytes.
type Chunk struct {
	SHA256 string `json:"sha256"`
	Len    int64  `json:"len"`
}

// Vouch is who vouches for a message, as in bundle.Signature; "" for nobody.
type Vouch struct {
	Key    string `json:"key,omitempty"`
	Sig    string `json:"sig,omitempty"`
	Board  string `json:"board,omitempty"`
	Number int64  `json:"number,omitempty"`
}

// Signed is a manifest with who vouches for it.
type Signed struct {
	Manifest json.RawMessage `json:"manifest"`
	Vouch
}

// Trust adds a signing key to those that a board knows, or takes it away. The words "trust KEY" or "distrust KEY" are signed as
// if they were a manifest, by a key that the board knows. Without Change the known ones are listed.
type Trust struct {
	Change string `json:"change,omitempty"`
	Drop   bool   `json:"drop,omitempty"`
	Vouch
}

// Trusted lists the keys that a board knows.
type Trusted struct {
	Keys []string `json:"keys"`
}

// Have asks which chunks are missing. Need is what will be sent, so that a full disk is known before.
type Have struct {
	Chunks []Chunk `json:"chunks"`
}

// Missing lists positions in Have.Chunks.
type Missing struct {
	Missing []int `json:"missing"`
	Free    int64 `json:"free"` // bytes left on the disk, -1: not known
}

// Put announces chunks.
type Put struct {
	Chunks []Chunk `json:"chunks"`
	Zstd   bool    `json:"zstd,omitempty"` // the bytes travel as one Zstandard frame, to agents that say they take it
}

// ZstdWindow bounds what an agent has to hold of a compressed upload.
const ZstdWindow = 1 << 20

// Stored counts what was stored.
type Stored struct {
	Chunks int   `json:"chunks"`
	Bytes  int64 `json:"bytes"`
}

// Named names a deployment.
type Named struct {
	Name string `json:"name"`
}

// Back asks for the version before. On a board that knows a key, one of its keys has to have signed bundle.RollbackWords.
type Back struct {
	Named
	Vouch
}

// Freed counts bytes given back.
type Freed struct {
	Bytes int64 `json:"bytes"`
}

// Deployment is one deployed model.
type Deployment struct {
	Name     string            `json:"name"`
	Version  int               `json:"version"`
	SHA256   string            `json:"sha256"`   // of the model file
	Manifest string            `json:"manifest"` // SHA-256 of the manifest
	Bytes    int64             `json:"bytes_total"`
	Previous int               `json:"previous,omitempty"` // version that rollback returns to, 0: none
	State    string            `json:"state"`              // "active"
	Trial    string            `json:"trial,omitempty"`    // how far a version came that was being tried when it was cut: "staged", "health", "shadow"
	Health   *HealthReport     `json:"health,omitempty"`   // of the trial that made it active
	Meta     map[string]string `json:"meta,omitempty"`
}

// Install is a deployment with a trial.
type Install struct {
	Signed
	ShadowNS int64  `json:"shadow_ns,omitempty"` // how long to run beside the version before, 0: not
	Holder   string `json:"holder,omitempty"`
}

// Trying says how a trial goes on.
type Trying struct {
	State string `json:"state"` // staged, health, p99, shadow, verify
	Done  int64  `json:"done"`
	Total int64  `json:"total"`
}

// HealthReport is what a trial found.
type HealthReport struct {
	Samples   int     `json:"samples"`
	MaxError  float64 `json:"max_error"` // largest |got - want| as a share of the largest |want| of its output
	Tolerance float64 `json:"tolerance"`
	Runs      int     `json:"runs,omitempty"`
	P99Ns     int64   `json:"p99_ns,omitempty"`
	P50Ns     int64   `json:"p50_ns,omitempty"`
	Shadow    int     `json:"shadow,omitempty"`     // inferences of both versions
	Agree     float64 `json:"agree,omitempty"`      // share of them with the same largest output
	BeforeP50 int64   `json:"before_p50,omitempty"` // of the version before, in the shadow run
}

// Source says which model: a deployed one by name, or chunks that are in the store by their manifest.
type Source struct {
	Name     string          `json:"name,omitempty"`
	Manifest json.RawMessage `json:"manifest,omitempty"`
	Vouch
}

// Input is one tensor whose bytes (an ONNX TensorProto) follow in the stream.
type Input struct {
	Name string `json:"name"`
	Len  int64  `json:"len"`
}

// RunJob is one inference.
type RunJob struct {
	Source    Source           `json:"source"`
	Runtime   string           `json:"runtime,omitempty"`
	Threads   int              `json:"threads,omitempty"`
	ISA       string           `json:"isa,omitempty"`
	Shapes    map[string][]int `json:"shapes,omitempty"`
	Inputs    []Input          `json:"inputs"`
	Memory    int64            `json:"memory,omitempty"`    // limit of the child in bytes
	Pack      string           `json:"pack,omitempty"`      // auto, small or fast, as runtimes.Options
	Precision string           `json:"precision,omitempty"` // exact or fast, as runtimes.Options
	Fresh     bool             `json:"fresh,omitempty"`     // neither use nor keep a prepared plan
	Service   bool             `json:"service,omitempty"`   // have the running service of the deployment answer
	StepNS    int64            `json:"step_ns,omitempty"`   // longest time of one step before it counts as an endless loop, 0: two minutes
}

// RunDone ends an inference; the outputs came before as Item {outputs} and Data.
type RunDone struct {
	TotalNS int64 `json:"total_ns"`
	LoadNS  int64 `json:"load_ns"`
}

// Outputs announces output tensors, whose bytes follow.
type Outputs struct {
	Outputs []Input `json:"outputs"`
}

// What a LeaseAsk wants.
const (
	LeaseLook    = "look"
	LeaseAcquire = "acquire" // refused while somebody else holds it
	LeaseTake    = "take"    // from whoever holds it
	LeaseRequest = "request" // tell the holder that somebody waits
	LeaseRelease = "release"
)

// LeaseAsk is about the right to measure. Epoch is that of the lease which is meant to be released.
type LeaseAsk struct {
	Do     string `json:"do"`
	Holder string `json:"holder,omitempty"` // who asks, for others to read
	Epoch  int64  `json:"epoch,omitempty"`
}

// Lease is the right to measure on a board, of one desk at a time. Its epoch grows with each holder and never goes back, so
// that who lost it is known by a smaller one.
type Lease struct {
	Epoch  int64  `json:"epoch"`
	Holder string `json:"holder"`
	Since  int64  `json:"since_unix"`      // by the board's clock, for people
	ForS   int64  `json:"held_s"`          // seconds so far, by a clock that nobody sets
	Held   bool   `json:"held"`            // somebody measures now
	Asked  string `json:"asked,omitempty"` // who waits for it
}

// Attach goes on with a measurement whose connection was cut.
type Attach struct {
	ID   string `json:"id"`
	From int64  `json:"from"` // first event that did not arrive; negative: all did, the board may forget it
}

// ProfileJob is one measurement.
type ProfileJob struct {
	ID        string           `json:"id,omitempty"`     // to attach to it after a cut, chosen by the desk
	Lease     int64            `json:"lease,omitempty"`  // epoch of the lease that the desk holds; 0: for this measurement only
	Holder    string           `json:"holder,omitempty"` // who measures, for others to read
	Source    Source           `json:"source"`
	Runtime   string           `json:"runtime,omitempty"`
	Threads   int              `json:"threads,omitempty"`
	ISA       string           `json:"isa,omitempty"`
	Shapes    map[string][]int `json:"shapes,omitempty"`
	Inputs    []Input          `json:"inputs,omitempty"` // without any, seeded random ones are made
	Seed      uint64           `json:"seed,omitempty"`
	Launches  int              `json:"launches"`         // processes started, one after the other
	Runs      int              `json:"runs"`             // clean and instrumented inferences of each launch, each
	Warmup    int              `json:"warmup,omitempty"` // 0: until the samples are steady
	Memory    int64            `json:"memory,omitempty"`
	Pack      string           `json:"pack,omitempty"`
	Precision string           `json:"precision,omitempty"`
	Fresh     bool             `json:"fresh,omitempty"`
	StepNS    int64            `json:"step_ns,omitempty"`
	Count     bool             `json:"count,omitempty"` // count cycles and the like at the end of each launch
}

// Event is one element of a profile's stream. Exactly one part is set. Seq counts from 0 over the whole run.
type Event struct {
	Seq    int64   `json:"seq"`
	Launch *Launch `json:"launch,omitempty"`
	Sample *Sample `json:"sample,omitempty"`
	Block  *Block  `json:"block,omitempty"`
}

// Launch starts a process: what it loaded and which steps it runs.
type Launch struct {
	Index   int    `json:"index"`
	LoadNS  int64  `json:"load_ns"`
	FirstNS int64  `json:"first_ns"`
	Runtime string `json:"runtime"`
	Version string `json:"version"`
	Path    string `json:"path,omitempty"` // the engine's instruction set or library
	Steps   []Step `json:"steps"`
	Weights int64  `json:"weights"`
	Arena   int64  `json:"arena"`
	Floor   int64  `json:"arena_floor"`

	Prepared bool `json:"prepared,omitempty"` // the weights are mapped from a prepared plan
	Small    bool `json:"small,omitempty"`    // packed for little memory
}

// Step is one executed unit of a plan.
type Step struct {
	ID     string   `json:"id"`
	Name   string   `json:"name"`
	Op     string   `json:"op"`
	Origin []string `json:"origin"`
	Kernel string   `json:"kernel"`
	Why    string   `json:"why,omitempty"` // what was measured where that chose the kernel
	DType  string   `json:"dtype"`
	Device string   `json:"device"`
	MACs   int64    `json:"macs"`
	Bytes  int64    `json:"bytes"`

	Window  []int `json:"window,omitempty"` // of a convolution
	Strides []int `json:"strides,omitempty"`
}

// Kinds of samples.
const (
	KindWarmup = "warmup"
	KindClean  = "clean"
	KindLayers = "layers"
)

// Sample is one inference in nanoseconds. An instrumented one has a time for each step.
type Sample struct {
	Launch  int     `json:"launch"`
	Kind    string  `json:"kind"`
	TotalNS int64   `json:"total_ns"`
	StepNS  []int64 `json:"step_ns,omitempty"`
}

// Block is what the board was like around some samples. Conditions is board.Conditions.
type Block struct {
	Launch     int             `json:"launch"`
	CanaryNS   int64           `json:"canary_ns"` // trace.Canary
	Faults     int64           `json:"page_faults"`
	Switches   int64           `json:"context_switches"` // not asked for by the process
	RSS        int64           `json:"rss"`
	RSSPeak    int64           `json:"rss_peak"`
	Conditions json.RawMessage `json:"conditions"`
	Counts     *Counts         `json:"counts,omitempty"` // in the last block of a launch, where they were asked for
}

// Counts are what counters of the processor said of one inference, over all threads.
type Counts struct {
	Runs   int                `json:"runs"`             // inferences that were counted, besides those that were timed
	Values map[string]float64 `json:"values"`           // cycles, instructions, cache-misses, l1-misses, branch-misses, stalls, cpu-time (ns), page-faults
	Absent []string           `json:"absent,omitempty"` // those that are not there, with the reason

	Layers map[string][]float64 `json:"layers,omitempty"` // the same, one number a step, of inferences of their own

	Joules   float64 `json:"joules,omitempty"`    // of one inference
	EnergyBy string  `json:"energy_by,omitempty"` // counter, sensor; "": not measured

	Cost *CountCost `json:"cost,omitempty"` // nil: nothing was counted
}

// CountCost is what counting itself takes: medians, ns.
type CountCost struct {
	Counters  int     `json:"counters"`
	ReadNS    float64 `json:"read_ns"`              // one reading of all of them
	PlainNS   float64 `json:"plain_ns"`             // an inference without counters
	CountedNS float64 `json:"counted_ns"`           // with them running
	SteppedNS float64 `json:"stepped_ns,omitempty"` // with them read between all steps; 0: the engine marks none
}

// ProfileDone is the result of a profile: how many events there were and the SHA-256 over their JSON texts.
type ProfileDone struct {
	Events int64  `json:"events"`
	SHA256 string `json:"sha256"`
	Asked  string `json:"asked,omitempty"` // who waits for the board
}
