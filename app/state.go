package app

import (
	"time"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
	"fettle/profiler"
	"fettle/score"
)

// State is everything the studio shows, published whole and never changed afterwards. A view compares pointers with the
// state before and redraws what differs.
type State struct {
	Seq       int64 // grows with every published state
	Screen    string
	Compress  string // part of the screen Compress: prune, quantize, distill, search; "": the first one shown
	Doc       *Doc   // nil: nothing is open
	Jobs      []*Job
	Boards    []*Board
	Notices   []*Notice
	Log       []LogLine // newest last
	Selection Selection
	Recent    []Recent
	Samples   []SampleInfo
	Runs      []*Run // newest last, of the open document
	CompareA  string // ids of the two runs compared
	CompareB  string
	Compared  *Comparison
	Deploys   []Deployment
	HostKey   *HostKeyQuestion  // waiting for an answer, nil: none
	Password  *PasswordQuestion // the same
	Settings  Settings
}

// Board finds a board by name.
func (s *State) Board(name string) *Board {
	for _, b := range s.Boards {
		if b.Name == name {
			return b
		}
	}
	return nil
}

// Run finds a run by its id.
func (s *State) Run(id string) *Run {
	for _, r := range s.Runs {
		if r.ID == id {
			return r
		}
	}
	return nil
}

// LastRun is the newest complete run of the model with this hash, of the model or of its file; nil: not measured.
func (s *State) LastRun(hash string) *Run {
	for i := len(s.Runs) - 1; i >= 0; i-- {
		if r := s.Runs[i]; (r.Hash == hash || r.SHA256 == hash) && r.Profile != nil && !r.Partial {
			return r
		}
	}
	return nil
}

// Active lists the jobs that run.
func (s *State) Active() []*Job {
	var out []*Job
	for _, j := range s.Jobs {
		if j.Running() {
			out = append(out, j)
		}
	}
	return out
}

// Doc is an open model with the history of its ledger. Undo moves Cursor; the imported model is never written.
type Doc struct {
	ID        int64
	Path      string // "sample:NAME" for a built-in network
	Name      string
	Trained   bool // false for a built-in topology with random weights: its accuracy means nothing
	Sample    bool
	Base      *model.Model
	BaseInfo  *Inspection
	Revisions []*Revision // every state of the ledger, oldest first
	Cursor    int
	Busy      bool                     // Steps, Model and Info are still those of before: the ledger is being applied
	Steps     []StepResult             // of the ledger at Cursor, one an entry
	Model     *model.Model             // after the last step: what Profile, Deploy and Save take
	Info      *Inspection              // of Model
	SHA256    string                   // of the file that Model makes
	Data      string                   // folder of calibration data, SampleCalibrate for the sample's own, "" for none
	Scores    map[string]*score.Result // by hash of the model; a missing one was not measured
	Goals     Goals
	Quant     *Quant        // nil: nothing was found out yet
	Cuts      *Cuts         // of channels; nil: nothing was found out yet
	Course    *Course       // the last distillation, nil: none
	Hunt      *Hunt         // the last search, nil: none
	Class     *Class        // small networks that learn from the opened model, nil: none
	Bound     *Bound        // what a board allows the model, nil: not asked
	Stairs    *Stairs       // staircases of its layers on a board, nil: not asked
	Audited   *Audited      // what a board computes, nil: not asked
	Kept      []*KeptRecipe // the tree of experiments, oldest first
	At        int           // id of the kept recipe that the ledger came from, 0: the opened model
	Saved     string        // hash that was last saved or opened
}

// Hash is the SHA-256 of the file that the model after the last step makes: what deployments and runs name.
func (d *Doc) Hash() string { return d.SHA256 }

// Score is the judgement of the model after the last step, nil: not measured.
func (d *Doc) Score() *score.Result { return d.Scores[d.Model.Hash()] }

// Unsaved reports whether the model differs from what is on disk.
func (d *Doc) Unsaved() bool { return d != nil && d.Model.Hash() != d.Saved }

// CanUndo reports whether there is a state of the ledger before this one.
func (d *Doc) CanUndo() bool { return d != nil && d.Cursor > 0 }

// CanRedo reports whether an undone state of the ledger is there.
func (d *Doc) CanRedo() bool { return d != nil && d.Cursor < len(d.Revisions)-1 }

// Ledger lists the entries at the cursor, with those that are switched off.
func (d *Doc) Ledger() []Entry { return d.Revisions[d.Cursor].Entries }

// Recipe is what the ledger at the cursor runs: the entries that are on.
func (d *Doc) Recipe() optimizer.Recipe { return d.Revisions[d.Cursor].Recipe() }

// Labels say what made each state of the ledger, the opened model first.
func (d *Doc) Labels() []string {
	out := make([]string, len(d.Revisions))
	for i, v := range d.Revisions {
		out[i] = v.Label
	}
	return out
}

// Revision is one state of the ledger with what came out of it. Result is nil until it was computed.
type Revision struct {
	Label   string // what the user did, a key of the translations
	Subject string // to which pass
	Entries []Entry
	Data    string
	Result  *Derived
}

// Recipe is the entries that are on.
func (v *Revision) Recipe() optimizer.Recipe {
	r := optimizer.Recipe{Schema: 1, Seed: 1}
	for _, e := range v.Entries {
		if e.On {
			r.Steps = append(r.Steps, e.RecipeStep)
		}
	}
	return r
}

// Entry is one line of the ledger. One that is switched off stays in it.
type Entry struct {
	optimizer.RecipeStep
	On bool
}

// Derived is what a ledger made of the imported model.
type Derived struct {
	Steps  []StepResult
	Model  *model.Model
	Info   *Inspection
	SHA256 string // of the file that Model makes
}

// StepResult is one entry of the ledger with what it did.
type StepResult struct {
	Pass      string
	Title     string
	Promise   string
	Exactness string
	Enabled   bool // unticked steps stay in the ledger
	Options   map[string]any
	Findings  []optimizer.Finding
	Proof     *optimizer.Proof
	Before    optimizer.Size
	After     optimizer.Size
	Err       *fail.Error  // why it could not be applied
	Model     *model.Model // after this step; nil: it did not run
}

// Touched counts the nodes that the step rewrote.
func (s *StepResult) Touched() int {
	n := 0
	for _, f := range s.Findings {
		if f.Outcome == optimizer.Applied {
			n += max(len(f.Nodes), 1)
		}
	}
	return n
}

// Places counts the places where the step was applied and where it was refused.
func (s *StepResult) Places() (applied, refused int) {
	for _, f := range s.Findings {
		switch f.Outcome {
		case optimizer.Applied:
			applied++
		case optimizer.Refused:
			refused++
		}
	}
	return applied, refused
}

// Goals are the limits that the user set; nil: not set.
type Goals struct {
	P99Ns    *float64 `json:"p99_ns,omitempty"`
	Bytes    *int64   `json:"bytes,omitempty"`
	Accuracy *float64 `json:"accuracy,omitempty"` // share, 0 to 1
}

// Job is slow work: running, or done with its outcome.
type Job struct {
	ID      int64
	Title   string // a key of the translations
	Detail  string
	Done    int64
	Total   int64 // 0: not known
	What    string
	Started time.Time
	Ended   time.Time // zero while it runs
	Err     *fail.Error
}

// Running reports whether the job has not ended.
func (j *Job) Running() bool { return j.Ended.IsZero() }

// LogLine is one thing that happened: a job that started or ended, a command.
type LogLine struct {
	At   time.Time
	Text string // a key of the translations
	Args string
	Err  *fail.Error
}

// Board is a target as the studio shows it.
type Board struct {
	Name      string
	Address   string
	Local     bool
	Facts     *TargetFacts // nil: not asked yet
	Err       *fail.Error  // why the last attempt failed
	Connected bool
	Busy      bool
	First     *First      // how it was added, where it was in this session
	Fixes     []FixRecord // what was changed on it from here, the last change first
	Access    *Access     // nil: not asked yet
	Noise     *NoiseFloor // nil: identical code was never compared on it
}

// Access is who uses a board, and who may.
type Access struct {
	Lease    LeaseInfo
	Keys     []string // signing keys whose deployments it takes; empty: those of the first that deploys
	Own      string   // this user's
	Services []ServiceState
}

// HostKeyQuestion is an unknown host key that a person must accept.
type HostKeyQuestion struct {
	Name, Address, KeyType, Fingerprint string
}

// Notice is a message that stays until it is closed.
type Notice struct {
	ID   int64
	Err  *fail.Error // nil for good news
	Text string      // a key of the translations
	Args []any       // of its format
}

// Selection is what is selected in graph, tables and charts together: ids of imported nodes.
type Selection struct {
	Origins []string
	From    string // screen that selected
}

// Has reports whether one of the ids is selected.
func (s Selection) Has(origins []string) bool {
	for _, a := range s.Origins {
		for _, b := range origins {
			if a == b {
				return true
			}
		}
	}
	return false
}

// Recent is a model that was open before, with what was last measured of it.
type Recent struct {
	Path   string
	Name   string
	Opened time.Time
	Bytes  int64
	Step   string   // last entry of the ledger, "" for none
	Target string   // board of the last run, "" for none
	P50Ns  *float64 // nil: not measured
	Seal   string
	Score  *float64
	Past   []float64 // median times of its runs, oldest first
	Goals  Goals
}

// Run is one profile of the document's base or derived model.
type Run struct {
	ID      string
	Label   string
	Target  string
	Hash    string // of the model; "" for a run of an earlier session that was not of the imported model
	SHA256  string // of the model's file
	Which   string // Original or Rewritten
	Profile *profiler.Profile
	Partial bool // samples still arrive
	Started time.Time
	Live    []float64 // clean samples in ns while they arrive, newest last
	Launch  int       // which launch they come from, from 1
}

// Comparison is two runs side by side.
type Comparison struct {
	A, B   *Run
	Result *profiler.Comparison
}

// Settings are shared by window and command line.
type Settings struct {
	Language string // "en" or "zh"
	Dark     bool
	Threads  int
}
