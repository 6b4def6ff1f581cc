package app

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"fettle/dataset"
	"fettle/internal/conformance"
	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/model"
	"fettle/optimizer"
	"fettle/runtimes"
	"fettle/runtimes/native"
)

// RunRequest is one inference.
type RunRequest struct {
	Model      string
	Inputs     []string // NAME=FILE, FILE for a model of one input, or random:SEED for all
	Preprocess string
	Threads    int
	Optimize   bool
	Pack       string // auto, small or fast: what packed weights may need; "" is auto
	Precision  string // exact, fast or half; "" is exact
	Fresh      bool   // neither use nor keep a prepared plan
	Levels     Levels // of nested weights
}

// RunResult is what came out; the tensors are in order.
type RunResult struct {
	Outputs []OutputInfo `json:"outputs"`
	TotalNs int64        `json:"total_ns"`
	LoadNs  int64        `json:"load_ns"` // from the model's structure to a session
	Names   []string     `json:"-"`

	Prepared bool                     `json:"prepared"`         // the weights were mapped from a prepared plan
	Level    string                   `json:"level,omitempty"`  // of nested weights, that gave the outputs
	Margin   *float64                 `json:"margin,omitempty"` // of the int4 level, where it was asked first
	Tensors  map[string]*model.Tensor `json:"-"`
}

// OutputInfo describes an output; numbers of small ones are given.
type OutputInfo struct {
	Name   string `json:"name"`
	DType  string `json:"dtype"`
	Shape  []int  `json:"shape"`
	Values []any  `json:"values,omitempty"`
}

// fewValues is how many numbers of an output are listed.
const fewValues = 32

// Run computes one inference on the engine.
func (a *App) Run(ctx context.Context, q RunRequest) (*RunResult, error) {
	m, err := a.Load(ctx, q.Model)
	if err != nil {
		return nil, err
	}
	in, err := a.inputs(ctx, m, q.Inputs, q.Preprocess)
	if err != nil {
		return nil, err
	}
	if q.Levels.Level != "" {
		return a.runLevels(ctx, m, in, q)
	}
	return a.runModel(ctx, m, in, q, "")
}

// runModel is Run of an open model. level is part of the name of its prepared plan.
func (a *App) runModel(ctx context.Context, m *model.Model, in map[string]*model.Tensor, q RunRequest, level string) (*RunResult, error) {
	opt := runOptions(in, q.Threads)
	opt.Pack, opt.Precision = q.Pack, q.Precision
	if id := modelID(m, q.Model, q.Optimize); !q.Fresh && id != "" {
		opt.Cache, opt.ModelID = a.plans(), id+level
	}
	load := time.Now()
	s, err := runtimes.Open(ctx, a.engine, opt, func() (*model.Model, error) {
		if !q.Optimize {
			return m, nil
		}
		r := a.StandardRecipe()
		o, err := a.Optimize(ctx, m, &r, OptimizeOptions{})
		if err != nil {
			return nil, err
		}
		return o.Model, nil
	})
	if err != nil {
		return nil, err
	}
	loaded := time.Since(load).Nanoseconds()
	defer s.Close()
	if err := s.Feed(in); err != nil {
		return nil, err
	}
	start := time.Now()
	if err := s.Exec(ctx, nil); err != nil {
		return nil, err
	}
	out := &RunResult{TotalNs: time.Since(start).Nanoseconds(), LoadNs: loaded, Prepared: s.Memory().Prepared, Tensors: map[string]*model.Tensor{}}
	for i, t := range s.Result() {
		name := s.Outputs()[i].Name
		out.Names = append(out.Names, name)
		out.Tensors[name] = t
		out.Outputs = append(out.Outputs, describe(name, t))
	}
	return out, nil
}

func describe(name string, t *model.Tensor) OutputInfo {
	return OutputInfo{Name: name, DType: t.DType.String(), Shape: append([]int{}, t.Shape...), Values: few(t)}
}

// few lists the elements of t, or nothing where there are many: of a map an object, of a sequence a list for each element.
func few(t *model.Tensor) []any {
	switch {
	case t.DType == model.Map && len(t.Elems) == 2:
		m := map[string]any{}
		keys, values := few(t.Elems[0]), few(t.Elems[1])
		for i := range min(len(keys), len(values)) {
			m[fmt.Sprint(keys[i])] = values[i]
		}
		return []any{m}
	case t.DType.Composite():
		var out []any
		if len(t.Elems) > fewValues {
			return nil
		}
		for _, e := range t.Elems {
			if e.DType == model.Map {
				out = append(out, few(e)...)
			} else {
				out = append(out, few(e))
			}
		}
		return out
	case t.Len() > fewValues:
		return nil
	}
	var out []any
	for i := range t.Len() {
		switch {
		case t.DType == model.String:
			out = append(out, t.Strs[i])
		case t.DType.Float():
			v := t.Float64At(i)
			if math.IsNaN(v) || math.IsInf(v, 0) {
				out = append(out, strconv.FormatFloat(v, 'g', -1, 64)) // JSON has no such numbers
			} else {
				out = append(out, v)
			}
		default:
			out = append(out, t.Int64At(i))
		}
	}
	return out
}

// prepare compiles m for the shapes of the inputs.
func (a *App) prepare(ctx context.Context, m *model.Model, in map[string]*model.Tensor, threads int) (runtimes.Session, error) {
	return a.engine.Prepare(ctx, m, runOptions(in, threads))
}

// runOptions are for inputs of the given shapes and types.
func runOptions(in map[string]*model.Tensor, threads int) runtimes.Options {
	opt := runtimes.NewOptions()
	opt.Threads = max(threads, 1)
	opt.Shapes, opt.Types = map[string][]int{}, map[string]model.DType{}
	for name, t := range in {
		opt.Shapes[name], opt.Types[name] = t.Shape, t.DType
	}
	return opt
}

// plans is the folder of prepared plans of this computer.
func (a *App) plans() string {
	if a.kept {
		return filepath.Join(a.home, "cache", "plans")
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "fettle", "plans")
}

// modelID names what is run for the folder of prepared plans; "" where weights lie in files of their own, which may change
// by themselves.
func modelID(m *model.Model, path string, standard bool) string {
	id := native.FileID(path)
	for _, in := range m.Graph.Inits {
		if in.External != nil {
			return ""
		}
	}
	if id != "" && standard {
		id += " standard"
	}
	return id
}

// inputs reads what the command line names.
func (a *App) inputs(ctx context.Context, m *model.Model, words []string, preprocess string) (map[string]*model.Tensor, error) {
	free := m.Graph.Free()
	out := map[string]*model.Tensor{}
	for _, w := range words {
		if seed, ok := strings.CutPrefix(w, "random:"); ok {
			n, err := strconv.ParseInt(seed, 10, 64)
			if err != nil {
				return nil, fail.New(fail.Usage, "%q has no number after random:", w).Try("write random:1")
			}
			r, err := a.verifyInputs(ctx, m, n)
			if err == nil && r == nil { // says why
				r, err = optimizer.RandomInputs(m, 1, n)
			}
			if err != nil {
				return nil, err
			}
			for name, t := range r[0] {
				if out[name] == nil {
					out[name] = t
				}
			}
			continue
		}
		name, file, ok := strings.Cut(w, "=")
		if !ok {
			if len(free) != 1 && filepath.Ext(w) != ".npz" {
				return nil, fail.New(fail.Usage, "%q does not say which input it is for", w).Try("write NAME=%s; the inputs are %s", w, names(free))
			}
			file, name = w, ""
			if len(free) == 1 {
				name = free[0].Name
			}
		}
		if err := a.input(m, name, file, preprocess, out); err != nil {
			return nil, err
		}
	}
	for _, v := range free {
		if out[v.Name] == nil {
			return nil, fail.New(fail.Usage, "input %s is not given", v.Name).Try("add -i %s=FILE, or -i random:1", v.Name)
		}
	}
	return out, nil
}

func names(vs []model.Value) string {
	var out []string
	for _, v := range vs {
		out = append(out, v.Name)
	}
	return strings.Join(out, ", ")
}

// input reads one file into out.
func (a *App) input(m *model.Model, name, file, preprocess string, out map[string]*model.Tensor) error {
	var v *model.Value
	free := m.Graph.Free()
	for i := range free {
		if free[i].Name == name {
			v = &free[i]
		}
	}
	ext := strings.ToLower(filepath.Ext(file))
	if v == nil && ext != ".npz" {
		return fail.New(fail.Usage, "the model has no input %q", name).Try("the inputs are %s", names(free))
	}
	budget := dataset.DefaultBudget()
	b, err := readSmall(file, budget.Bytes)
	if err != nil {
		return err
	}
	where := fail.Where{File: file}
	switch ext {
	case ".npy", ".npz", ".pb", ".wav":
		ts, err := dataset.ReadTensors(ext, b, budget)
		if err != nil {
			return fail.In(err, "read input", where)
		}
		if ext == ".npz" {
			for k, t := range ts {
				out[k] = t
			}
			return nil
		}
		for _, t := range ts {
			if out[name] = t; ext == ".wav" {
				out[name] = dataset.FitSound(t, v.Type)
			}
		}
		return nil
	case ".png", ".jpg", ".jpeg", ".webp", ".bmp":
		pre, err := preprocessOf(m, preprocess)
		if err != nil {
			return err
		}
		if pre == nil {
			return dataset.NeedsPreprocess()
		}
		img, err := dataset.DecodePicture(b, budget.Pixels)
		if err != nil {
			return fail.In(err, "read input", where)
		}
		t, err := pre.Tensor(img, *v)
		if err != nil {
			return fail.In(err, "read input", where)
		}
		out[name] = t
		return nil
	}
	return fail.New(fail.Unsupported, "files of kind %q cannot be inputs", ext).At(where).Try("give .npy, .npz, .pb, .wav or a picture")
}

// WriteOutputs saves the outputs as numpy's .npz, or .npy where there is one.
func (a *App) WriteOutputs(path string, r *RunResult) error {
	f, err := os.Create(path)
	if err != nil {
		return fail.New(fail.Denied, "%v", err).At(fail.Where{File: path})
	}
	if filepath.Ext(path) == ".npy" && len(r.Names) == 1 {
		err = dataset.WriteNpy(f, r.Tensors[r.Names[0]])
	} else {
		err = dataset.WriteNpz(f, r.Names, r.Tensors)
	}
	if cerr := f.Close(); err == nil && cerr != nil {
		err = fail.New(fail.NoSpace, "%v", cerr).At(fail.Where{File: path})
	}
	return err
}

// Conformance runs the cases of the ONNX backend test layout below dir on the engine.
func (a *App) Conformance(ctx context.Context, dir, filter string, p task.Progress) (*conformance.Report, error) {
	var re *regexp.Regexp
	if filter != "" {
		var err error
		if re, err = regexp.Compile(filter); err != nil {
			return nil, fail.New(fail.Usage, "%v", err).Try("give a regular expression of Go's syntax")
		}
	}
	return conformance.Run(ctx, dir, re, func(ctx context.Context, m *model.Model, in map[string]*model.Tensor) ([]*model.Tensor, error) {
		s, err := a.prepare(ctx, asGiven(m, in), in, 1)
		if err != nil {
			return nil, err
		}
		defer s.Close()
		if err := s.Feed(in); err != nil {
			return nil, err
		}
		if err := s.Exec(ctx, nil); err != nil {
			return nil, err
		}
		return s.Result(), nil
	}, p)
}

// asGiven is m with the types of the inputs given where the model declares another shape: four cases of the ONNX test
// data (castlike to and from bfloat16) store a tensor of one element for an input that they declare as 3x4.
func asGiven(m *model.Model, in map[string]*model.Tensor) *model.Model {
	types := map[string]model.Type{}
	for _, v := range m.Graph.Inputs {
		t := in[v.Name]
		if t == nil || v.Type.Kind != model.KindTensor || !v.Type.Ranked || v.Type.DType != t.DType {
			continue
		}
		dims, fixed := v.Type.Shape.Ints()
		if fixed && !slices.Equal(dims, t.Shape) {
			types[v.Name] = model.TypeOf(t)
		}
	}
	if len(types) == 0 {
		return m
	}
	return m.WithInputTypes(types)
}
