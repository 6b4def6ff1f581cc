// Package runtimes says what an inference engine behind Fettle must do: probe, prepare a model, run it and time its
// steps. The adapters lie in folders beside it: native is Fettle's own engine.
//
// It knows no engine. Start reading at Runtime.
package runtimes

import (
	"context"

	"fettle/internal/fail"
	"fettle/model"
)

// Runtime is an engine that can prepare models.
type Runtime interface {
	// Name is what users type: "fettle", "onnxruntime".
	Name() string
	// Probe says whether the engine can be used here. It never fails: absence is a fact with a reason.
	Probe(ctx context.Context) Facts
	// Prepare compiles m for the options. fail.Unsupported names the operators it lacks.
	Prepare(ctx context.Context, m *model.Model, opt Options) (Session, error)
}

// Facts says what of an engine is there.
type Facts struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	Path    string `json:"path,omitempty"`
	Present bool   `json:"present"`
	Why     string `json:"why,omitempty"` // why it is absent
}

// Options are the choices of a run.
type Options struct {
	Threads int                    `opt:"threads" min:"1" max:"64" help:"workers that share each layer"`
	ISA     string                 `opt:"isa" help:"poorer instruction set to use: generic, avx2, avx512f, neon"`
	Shapes  map[string][]int       // shapes of inputs; unknown dimensions that are not here become 1
	Types   map[string]model.DType // dtypes of inputs that the model leaves open
	Pack    string                 `opt:"pack" enum:"auto small fast" help:"small: no algorithm that needs much more memory than the weights of the file; fast: any; auto: small where memory is short"`
	// Precision: fast lets products err by 1e-5 of the largest output of their layer, half by 5e-3, where the processor gains by it.
	Precision string `opt:"precision" enum:"exact fast half" help:"fast: products may err by 1e-5 of the largest output of their layer; half: by 5e-3"`
	Room      int64  // bytes that packed weights may take with pack auto; 0: half of what the machine has free
	Cache     string // folder of prepared plans, "" for none
	ModelID   string // names the bytes of the model for Cache; "": it is not prepared
}

// NewOptions is one thread and the best instructions.
func NewOptions() Options { return Options{Threads: 1} }

// Step is one executed unit.
type Step struct {
	ID     string
	Name   string
	Op     string
	Origin []string // ids of nodes of the imported model
	Kernel string
	Why    string // what was measured where that chose the kernel, "" for rules
	DType  string
	Device string
	MACs   int64
	Bytes  int64

	Window, Strides []int // of a convolution: kernel sizes and strides; nil for others
}

// Memory is what a session holds, in bytes.
type Memory struct {
	Weights int64
	Arena   int64
	Floor   int64 // least arena that any placement could reach

	Prepared bool // the weights are mapped from a prepared file
	Small    bool // packed without algorithms that need much more memory
}

// Reopener is a runtime that gives sessions of models that it prepared before, without the model.
type Reopener interface {
	// Reopen uses opt.Cache and opt.ModelID. fail.NotFound: the model has to be read and prepared.
	Reopen(ctx context.Context, opt Options) (Session, error)
}

// Open reopens a model, or reads and prepares it.
func Open(ctx context.Context, rt Runtime, opt Options, read func() (*model.Model, error)) (Session, error) {
	if r, ok := rt.(Reopener); ok && opt.Cache != "" && opt.ModelID != "" {
		s, err := r.Reopen(ctx, opt)
		if err == nil || !fail.Is(err, fail.NotFound) {
			return s, err
		}
	}
	m, err := read()
	if err != nil {
		return nil, err
	}
	return rt.Prepare(ctx, m, opt)
}

// Session is one prepared model with its memory. One goroutine uses it at a time.
type Session interface {
	// Inputs lists the inputs with their fixed shapes.
	Inputs() []model.Value
	// Outputs lists the outputs.
	Outputs() []model.Value
	// Steps lists the executed units in order.
	Steps() []Step
	// Memory is the planned memory.
	Memory() Memory
	// Feed sets the inputs.
	Feed(inputs map[string]*model.Tensor) error
	// Exec runs on the inputs fed before; ns, if not nil, has one place a step and gets its nanoseconds.
	Exec(ctx context.Context, ns []int64) error
	// Result copies the outputs of the last Exec, in the order of Outputs.
	Result() []*model.Tensor
	// Close frees everything.
	Close() error
}

// Marker is a session that says where it is, so that a watcher can name the step in which a run died.
type Marker interface {
	// Mark has each Exec write the step that it is at to where at points; nil: no longer.
	Mark(at *int64)
}

// Run feeds, executes and gives the outputs by name.
func Run(ctx context.Context, s Session, inputs map[string]*model.Tensor) (map[string]*model.Tensor, error) {
	if err := s.Feed(inputs); err != nil {
		return nil, err
	}
	if err := s.Exec(ctx, nil); err != nil {
		return nil, err
	}
	out := map[string]*model.Tensor{}
	for i, t := range s.Result() {
		out[s.Outputs()[i].Name] = t
	}
	return out, nil
}
