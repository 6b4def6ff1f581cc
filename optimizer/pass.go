// Package optimizer owns rewriting: what a pass is, the recipe that lists passes, the runner that derives a
// model from each step, and the findings that say what happened and what did not, with the reason.
//
// A pass opens no file, socket or window: data, scorer, cost and runner come in an Env of small interfaces.
// Models are never edited in place. The passes themselves live in the folders below, their order in
// optimizer/catalog. Start reading at Pass, then at Run.
package optimizer

import (
	"context"
	"time"

	"fettle/internal/task"
	"fettle/model"
	"fettle/ops"
)

// Pass is one transformation with its options. A Pass value is used for one step and not shared.
type Pass interface {
	// Info says what the pass is; it does not depend on the options.
	Info() Info
	// Options is a pointer to the struct whose tagged fields are the options (internal/spec); nil: none.
	Options() any
	// Check predicts, without data and without touching m, where the pass would fire and where it refuses.
	Check(env *Env, m *model.Model) ([]Finding, error)
	// Apply derives a new model; m itself where nothing changed. Errors: fail.Invalid for a model or option
	// that it cannot take, fail.Unsupported naming what is missing, fail.Cancelled.
	Apply(ctx context.Context, env *Env, m *model.Model) (*model.Model, []Finding, error)
}

// Exactness is what a pass promises about the outputs.
type Exactness string

// The promises, strongest first.
const (
	Exact    Exactness = "exact"   // the same values
	Rounding Exactness = "bounded" // the same formula in another order: RoundingBound
	Scored   Exactness = "scored"  // another function; only a score on data says how good it is
)

// Info describes a pass to people and to the order of the catalog.
type Info struct {
	Name      string // as in recipes: the file name with hyphens
	Title     string
	Promise   string // one sentence: what it does for the user
	Exactness Exactness
	Paper     string // source of the method, "" for folklore
	Undo      string // what is lost that a reader of the exported file could not undo
	NeedsData bool   // reads calibration data
}

// Outcome says what became of one place.
type Outcome string

// The outcomes.
const (
	Applied Outcome = "applied"
	Refused Outcome = "refused"
	Nothing Outcome = "nothing"
)

// Finding is one line of the ledger: what a pass did at one place, or why it did not.
type Finding struct {
	Rule    string         `json:"rule"`
	Nodes   []model.NodeID `json:"nodes"`          // matched, in the model before
	Made    []model.NodeID `json:"made,omitempty"` // new nodes
	Origin  []model.NodeID `json:"origin,omitempty"`
	Label   string         `json:"label"` // what people call the place
	Outcome Outcome        `json:"outcome"`
	Reason  string         `json:"reason,omitempty"`
	Gain    Gain           `json:"gain"`
	Proof   *Proof         `json:"proof,omitempty"`
}

// Gain is what a rewrite saves; negative is a cost.
type Gain struct {
	Nodes int   `json:"nodes"`
	Bytes int64 `json:"bytes"` // of constants
}

// Data is a set of inputs, read as a stream. Items are independent; each holds all inputs of the model by name.
type Data interface {
	Len() int
	Hash() string // content, order and preprocessing
	Each(ctx context.Context, limit int, visit func(i int, inputs map[string]*model.Tensor) error) error
}

// Runner runs models; Open may compile. Reference is the one that is always there.
type Runner interface {
	Open(ctx context.Context, m *model.Model) (Session, error)
}

// Session runs one model, one call at a time. Outputs come in the order of the graph and are valid until the
// next call.
type Session interface {
	Run(ctx context.Context, inputs map[string]*model.Tensor) ([]*model.Tensor, error)
	Close() error
}

// Scorer judges a model on held-out data; higher is better.
type Scorer interface {
	Score(ctx context.Context, m *model.Model) (float64, error)
}

// Cost predicts the time of a model in nanoseconds.
type Cost interface {
	PredictNs(m *model.Model) (float64, error)
}

// Keep holds bytes from one run of the program to the next, under names made of hashes. What it lost is made again.
type Keep interface {
	Get(key string) ([]byte, bool)
	Put(key string, b []byte) error
}

// Env is what a pass may use. The zero value works for passes that need no data.
type Env struct {
	Passes   Table
	Base     *model.Model // what the recipe began with, for passes that learn from it; set by Run
	Data     Data         // calibration; nil: none given
	Score    Scorer       // nil: none given
	Cost     Cost         // nil: none given
	Runner   Runner       // nil: Reference
	Race     Race         // nil: nobody measures
	Seed     int64
	Budget   time.Duration // 0: no limit
	Progress task.Progress
	Scope    *Matcher // nil: everything; set by Run from the step
	Limit    int      // apply at most this many rewrites in each pass, to bisect a bad one; 0: all
	Cache    *Cache   // nil: none
	Keep     Keep     // nil: nothing outlives the run
	Verify   []map[string]*model.Tensor
}

// Race measures two models in turns and gives the milliseconds of a run of each: what is least disturbed.
type Race func(ctx context.Context, before, after *model.Model) (a, b float64, err error)

// runner is the one to use.
func (e *Env) runner() Runner {
	if e.Runner != nil {
		return e.Runner
	}
	return Reference{}
}

// Open compiles m with the runner of the environment.
func (e *Env) Open(ctx context.Context, m *model.Model) (Session, error) {
	return e.runner().Open(ctx, m)
}

// Reference runs models with the reference kernels of ops: slow and right.
type Reference struct{}

// Open needs no preparation.
func (Reference) Open(_ context.Context, m *model.Model) (Session, error) { return reference{m}, nil }

type reference struct{ m *model.Model }

func (r reference) Run(ctx context.Context, inputs map[string]*model.Tensor) ([]*model.Tensor, error) {
	return ops.Evaluate(ctx, r.m, inputs)
}
func (reference) Close() error { return nil }

// Row is one line of the table of passes.
type Row struct {
	New   func() Pass // a fresh pass with default options
	After []Order     // constraints on the order in a recipe
}

// Order is a constraint: the row's pass has to come after the pass named, because of Why.
type Order struct{ Pass, Why string }

// Table is an ordered list of passes.
type Table []Row

// Find makes a fresh pass by name, nil where there is none.
func (t Table) Find(name string) Pass {
	for _, r := range t {
		if p := r.New(); p.Info().Name == name {
			return p
		}
	}
	return nil
}

// Names lists the passes in order.
func (t Table) Names() []string {
	out := make([]string, len(t))
	for i, r := range t {
		out[i] = r.New().Info().Name
	}
	return out
}
