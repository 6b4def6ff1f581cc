// Package conformance runs cases in the layout of the ONNX backend tests: DIR/**/model.onnx with test_data_set_*/input_N.pb
// and output_N.pb beside it.
//
// It owns comparing and counting and knows no engine: the caller gives a function that runs a model. Start reading at Run.
package conformance

import (
	"context"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/model"
	"fettle/model/onnx"
	"fettle/ops"
)

// Runner runs a model on named inputs and gives its outputs in order.
type Runner func(ctx context.Context, m *model.Model, inputs map[string]*model.Tensor) ([]*model.Tensor, error)

// Report counts the cases; its JSON form is fixed for scripts.
type Report struct {
	Passed      int    `json:"passed"`
	Failed      int    `json:"failed"`
	Unsupported int    `json:"unsupported"`
	Cases       []Case `json:"cases"`
}

// Case is one model with all of its data sets.
type Case struct {
	Name   string `json:"name"`
	Status string `json:"status"` // passed, failed or unsupported
	Reason string `json:"reason,omitempty"`
}

// Run finds the cases below dir whose name matches filter (nil: all) and runs them in order of their names.
func Run(ctx context.Context, dir string, filter *regexp.Regexp, run Runner, progress task.Progress) (*Report, error) {
	var dirs []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Name() == "model.onnx" {
			name := caseName(dir, filepath.Dir(p))
			if filter == nil || filter.MatchString(name) {
				dirs = append(dirs, filepath.Dir(p))
			}
		}
		return nil
	})
	if err != nil {
		return nil, fail.New(fail.NotFound, "cannot list %s: %v", dir, err).Try("give a folder of test cases")
	}
	sort.Strings(dirs)
	r := &Report{Cases: []Case{}}
	for i, d := range dirs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c := Case{Name: caseName(dir, d), Status: "passed"}
		err := task.Safely("case "+c.Name, func() error { return one(ctx, d, run) })
		switch {
		case err == nil:
			r.Passed++
		case fail.Is(err, fail.Cancelled) && ctx.Err() != nil:
			return nil, err
		case fail.Is(err, fail.Unsupported):
			c.Status, c.Reason = "unsupported", err.Error()
			r.Unsupported++
		default:
			c.Status, c.Reason = "failed", err.Error()
			r.Failed++
		}
		r.Cases = append(r.Cases, c)
		progress.Report(int64(i+1), int64(len(dirs)), c.Name)
	}
	return r, nil
}

func caseName(root, dir string) string {
	rel, err := filepath.Rel(root, dir)
	if err != nil || rel == "." {
		return filepath.Base(dir)
	}
	return filepath.ToSlash(rel)
}

func one(ctx context.Context, dir string, run Runner) error {
	m, err := onnx.ReadFile(ctx, modelFile(dir), onnx.DefaultBudget())
	if err != nil {
		return err
	}
	sets, err := filepath.Glob(filepath.Join(dir, "test_data_set_*"))
	if err != nil || len(sets) == 0 {
		return fail.New(fail.Invalid, "no test_data_set_* beside the model")
	}
	sort.Strings(sets)
	for _, set := range sets {
		if err := dataSet(ctx, m, set, run); err != nil {
			return fail.In(err, filepath.Base(set), fail.Where{})
		}
	}
	return nil
}

// modelFile is the model of a case. Where a file system or a checkout has no symbolic links, a link is a small file that
// holds the path.
func modelFile(dir string) string {
	path := filepath.Join(dir, "model.onnx")
	if st, err := os.Stat(path); err != nil || st.Size() > 1024 {
		return path
	}
	b, err := os.ReadFile(path)
	if err != nil || !strings.HasSuffix(string(b), ".onnx") || strings.ContainsAny(string(b), "\x00\n") {
		return path
	}
	to := filepath.FromSlash(string(b))
	if !filepath.IsAbs(to) {
		to = filepath.Join(dir, to)
	}
	if _, err := os.Stat(to); err != nil {
		return path
	}
	return to
}

func dataSet(ctx context.Context, m *model.Model, set string, run Runner) error {
	inputs := map[string]*model.Tensor{}
	// Inputs are numbered in the order of the graph's inputs; initializers that are also inputs may have a file or not.
	free := m.Graph.Inputs
	if n := count(set, "input_"); n < len(free) {
		free = m.Graph.Free()
	}
	for i, v := range free {
		t, err := readValue(filepath.Join(set, "input_"+strconv.Itoa(i)+".pb"), v.Type)
		if os.IsNotExist(err) && i >= count(set, "input_") {
			continue // an optional input of the graph
		}
		if err != nil {
			return err
		}
		inputs[v.Name] = t
	}
	got, err := run(ctx, m, inputs)
	if err != nil {
		return err
	}
	if len(got) != len(m.Graph.Outputs) {
		return fail.New(fail.Failed, "%d outputs, want %d", len(got), len(m.Graph.Outputs))
	}
	for i, v := range m.Graph.Outputs {
		want, err := readValue(filepath.Join(set, "output_"+strconv.Itoa(i)+".pb"), v.Type)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return err
		}
		if random(m, v.Name) {
			if err := sameForm(got[i], want); err != nil {
				return fail.In(err, "", fail.Where{Tensor: v.Name})
			}
			continue
		}
		if err := Compare(got[i], want, len(m.Graph.Nodes)); err != nil {
			return fail.In(err, "", fail.Where{Tensor: v.Name})
		}
	}
	return nil
}

// random reports whether value hangs on an operator that draws, so that only its form can be compared.
func random(m *model.Model, value string) bool {
	seen := map[string]bool{}
	var walk func(string) bool
	walk = func(v string) bool {
		n := m.Graph.Producer(v)
		if n == nil || seen[v] {
			return false
		}
		seen[v] = true
		d, err := ops.Lookup(n.Domain, n.Op, 0)
		// Dropout draws only where it is told to train.
		if err == nil && d.Exact == ops.Random || n.Op == "Dropout" && len(n.Inputs) > 2 && n.Inputs[2] != "" {
			return true
		}
		for _, in := range n.Inputs {
			if walk(in) {
				return true
			}
		}
		return false
	}
	return walk(value)
}

func count(set, prefix string) int {
	l, _ := filepath.Glob(filepath.Join(set, prefix+"*.pb"))
	return len(l)
}

func readValue(path string, t model.Type) (*model.Tensor, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	v, _, err := onnx.ReadValue(b, t)
	if err != nil {
		return nil, fail.In(err, "read "+filepath.Base(path), fail.Where{File: path})
	}
	if t.DType == model.BFloat16 && v.DType == model.Uint16 {
		v.DType = t.DType // numpy has no bfloat16: the cases store its bits under the name of uint16
	}
	return v, nil
}

func sameForm(got, want *model.Tensor) error {
	if got == nil {
		return fail.New(fail.Failed, "no value")
	}
	if got.DType != want.DType {
		return fail.New(fail.Failed, "%s, want %s", got.DType, want.DType)
	}
	if fmt.Sprint(got.Shape) != fmt.Sprint(want.Shape) {
		return fail.New(fail.Failed, "shape %v, want %v", got.Shape, want.Shape)
	}
	return nil
}

// Compare holds got against want: an element passes where |got-want| <= a + 1e-3 |want|, with a = 1e-7, and 1e-5 times the
// largest wanted magnitude in models of more than 20 nodes. a is never below two steps of float32 at that magnitude: the
// sums that gave a value near zero beside large ones have lost as much in the wanted result itself. Integers, booleans and strings must be equal, and dtype and shape.
func Compare(got, want *model.Tensor, nodes int) error {
	if want.None {
		if got != nil && !got.None {
			return fail.New(fail.Failed, "a value, want an empty optional")
		}
		return nil
	}
	if err := sameForm(got, want); err != nil {
		return err
	}
	switch {
	case want.DType.Composite():
		if len(got.Elems) != len(want.Elems) {
			return fail.New(fail.Failed, "%d elements, want %d", len(got.Elems), len(want.Elems))
		}
		for i := range want.Elems {
			if err := Compare(got.Elems[i], want.Elems[i], nodes); err != nil {
				return fail.In(err, "", fail.Where{Field: "element " + strconv.Itoa(i)})
			}
		}
		return nil
	case want.DType == model.String:
		for i, s := range want.Strs {
			if got.Strs[i] != s {
				return fail.New(fail.Failed, "element %d is %q, want %q", i, got.Strs[i], s)
			}
		}
		return nil
	case !want.DType.Float() && want.DType != model.Complex64 && want.DType != model.Complex128:
		for i := range want.Len() {
			if g, w := got.Int64At(i), want.Int64At(i); g != w {
				return fail.New(fail.Failed, "element %d is %d, want %d", i, g, w)
			}
		}
		return nil
	}
	top := 0.0
	for i := range want.Len() {
		if v := math.Abs(want.Float64At(i)); v > top && !math.IsInf(v, 0) {
			top = v
		}
	}
	abs := math.Max(1e-7, 0x1p-22*top)
	if nodes > 20 {
		abs = 1e-5 * top
	}
	for i := range want.Len() {
		g, w := got.Float64At(i), want.Float64At(i)
		if g == w || math.IsNaN(g) && math.IsNaN(w) {
			continue
		}
		if d := math.Abs(g - w); !(d <= abs+1e-3*math.Abs(w)) {
			return fail.New(fail.Failed, "element %d is %g, want %g", i, g, w)
		}
	}
	return nil
}

// Summary is one line for people.
func (r *Report) Summary() string {
	var bad []string
	for _, c := range r.Cases {
		if c.Status == "failed" && len(bad) < 8 {
			bad = append(bad, c.Name)
		}
	}
	s := fmt.Sprintf("passed %d, failed %d, unsupported %d", r.Passed, r.Failed, r.Unsupported)
	if len(bad) > 0 {
		s += "; failed: " + strings.Join(bad, " ")
	}
	return s
}
