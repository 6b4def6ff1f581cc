package app

import (
	"time"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
	"fettle/profiler"
)

// State is everything the studio shows, published whole and never changed afterwards. A view compares pointers with the
// state before and redraws what differs.
type State struct {
	Seq       int64 // grows with every published state
	Screen    string
	Doc       *Doc // nil: nothing is open
	Jobs      []*Job
	Boards    []*Board
	Notices   []*Notice
	Selection Selection
	Recent    []Recent
	Runs      []*Run // newest last, of the open document
	CompareA  string // ids of the two runs compared
	CompareB  string
	Compared  *Comparison
	Deploys   []Deployment
	HostKey   *HostKeyQuestion // waiting for an answer, nil: none
	Settings  Settings
}

// Doc is an open model with its recipe. Undo moves Cursor.
type Doc struct {
	Path     string
	Name     string
	Base     *model.Model
	BaseInfo *Inspection
	Recipes  []optimizer.Recipe // every state of the recipe, oldest first
	Cursor   int
	Steps    []StepResult // of the recipe at Cursor
	Model    *model.Model // after the last step: what Profile, Deploy and Save take
	Info     *Inspection  // of Model
	Labels   []string
	Data     string // folder of calibration data, "" for the sample's own or none
	Saved    string // hash that was last saved
}

// StepResult is one entry of the recipe with what it did.
type StepResult struct {
	Pass     string
	Title    string
	Promise  string
	Enabled  bool // unticked steps stay in the ledger
	Findings []optimizer.Finding
	Proof    *optimizer.Proof
	Before   optimizer.Size
	After    optimizer.Size
	Err      *fail.Error
	Model    *model.Model
}

// CanUndo reports whether there is a state of the recipe before this one.
func (d *Doc) CanUndo() bool { return d != nil && d.Cursor > 0 }

// CanRedo reports whether an undone state of the recipe is there.
func (d *Doc) CanRedo() bool { return d != nil && d.Cursor < len(d.Recipes)-1 }

// Recipe is the recipe at the cursor.
func (d *Doc) Recipe() optimizer.Recipe { return d.Recipes[d.Cursor] }

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

// Board is a target as the studio shows it.
type Board struct {
	Name      string
	Address   string
	Local     bool
	Facts     *TargetFacts // nil: not asked yet
	Err       *fail.Error  // why the last attempt failed
	Connected bool
	Busy      bool
}

// HostKeyQuestion is an unknown host key that a person must accept.
type HostKeyQuestion struct {
	Name, Address, KeyType, Fingerprint string
}

// Notice is a message that stays until it is closed.
type Notice struct {
	ID   int64
	Err  *fail.Error // nil for good news
	Text string
}

// Selection is what is selected in graph, tables and charts together: ids of imported nodes.
type Selection struct {
	Origins []string
	From    string // screen that selected
}

// Recent is a model that was open before.
type Recent struct {
	Path   string
	Name   string
	Opened time.Time
	Bytes  int64
}

// Run is one profile of the document's base or derived model.
type Run struct {
	ID      string
	Label   string
	Target  string
	Hash    string // of the model
	Profile *profiler.Profile
	Partial bool // samples still arrive
	Started time.Time
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
