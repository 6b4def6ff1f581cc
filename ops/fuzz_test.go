package ops

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"fettle/internal/fail"
	"fettle/model"
)

// FuzzOperators lets the fuzzer write the choices of a random node.
func FuzzOperators(f *testing.F) {
	all := All()
	for i := range all {
		f.Add(uint16(i), int64(i), []byte{})
	}
	f.Fuzz(func(t *testing.T, op uint16, seed int64, data []byte) {
		d := &draw{data: data, r: rand.New(rand.NewSource(seed))}
		holds(t, d.example(all[int(op)%len(all)]))
	})
}

// TestRandomNodes runs several hundred random nodes of every operator: each gives a result that agrees with its inferred
// type, or a typed error that blames the node, and never panics or takes memory that its limit does not allow.
func TestRandomNodes(t *testing.T) {
	rounds := 150
	if testing.Short() {
		rounds = 40
	}
	for _, def := range All() {
		t.Run(def.Domain+":"+def.Name, func(t *testing.T) {
			h := fnv.New64a()
			h.Write([]byte(def.Domain + def.Name))
			worked := 0
			for i := range rounds {
				d := &draw{r: rand.New(rand.NewSource(int64(h.Sum64()) + int64(i)))}
				if holds(t, d.example(def)) {
					worked++
				}
				if t.Failed() {
					t.Fatalf("round %d", i)
				}
			}
			t.Logf("%d of %d nodes ran", worked, rounds)
		})
	}
}

const (
	testLimit  = 1 << 20 // bytes of one value
	testMemory = 256 << 20
	testTime   = 5 * time.Second
)

// holds checks one example and reports whether it ran.
func holds(t *testing.T, x *example) bool {
	t.Helper()
	if m := x.inputs["x0_0"]; x.node.Op == "Loop" && (m == nil || m.DType != model.Int64 || m.Len() != 1 || m.Int64At(0) < 1 || m.Int64At(0) > 100) {
		return false // may rightly run for ever; without an iteration its scan outputs have the types that the body declares
	}
	stuck := time.AfterFunc(2*testTime, func() { panic("still running\n" + x.String()) })
	defer stuck.Stop()
	types, err1 := inferredTypes(t, x, nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	out, err := evaluated(x)
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > testMemory {
		t.Errorf("took %d MB with a limit of %d bytes a value (err %v)\n%s", got>>20, testLimit, err, x)
	}
	if took > testTime {
		t.Errorf("took %v\n%s", took, x)
	}
	if err != nil {
		typed(t, err, x)
		return false
	}
	if err1 != nil {
		t.Errorf("ran, but Infer refuses it: %v\n%s", err1, x)
		return false
	}
	constant, err2 := inferredTypes(t, x, x.inputs)
	if err2 != nil {
		t.Errorf("ran, but Infer with its values refuses it: %v\n%s", err2, x)
		return false
	}
	for i, name := range x.node.Outputs {
		if out[i] == nil {
			t.Errorf("output %d has no value\n%s", i, x)
			continue
		}
		if why := agrees(out[i], types[name]); why != "" {
			t.Errorf("output %d %s%v: %s\n%s", i, out[i].DType, out[i].Shape, why, x)
		}
		if why := agrees(out[i], constant[name]); why != "" {
			t.Errorf("output %d %s%v with values known: %s\n%s", i, out[i].DType, out[i].Shape, why, x)
		}
	}
	return true
}

func evaluated(x *example) (out []*model.Tensor, err error) {
	defer caught(&err)
	ctx, stop := context.WithTimeout(context.Background(), testTime)
	defer stop()
	e := &Evaluator{Model: x.m, Limit: testLimit}
	env, err := e.Values(ctx, x.inputs)
	if err != nil {
		return nil, err
	}
	for _, o := range x.node.Outputs {
		out = append(out, env[o])
	}
	return out, nil
}

// inferredTypes infers the model, with its inputs as constants where they are given.
func inferredTypes(t *testing.T, x *example, consts map[string]*model.Tensor) (types map[string]model.Type, err error) {
	m := x.m
	if consts != nil {
		g := &model.Graph{Name: "g", Nodes: m.Graph.Nodes, Outputs: m.Graph.Outputs}
		for _, v := range m.Graph.Inputs {
			g.Inits = append(g.Inits, &model.Init{Name: v.Name, Tensor: consts[v.Name]})
		}
		m = m.WithGraph(g)
	}
	func() {
		defer caught(&err)
		var inf *Inferred
		if inf, _, err = Infer(m, nil); err == nil {
			types = inf.Types
		}
	}()
	if err != nil {
		typed(t, err, x)
	}
	return types, err
}

func caught(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
	}
}

func typed(t *testing.T, err error, x *example) {
	t.Helper()
	for _, k := range []fail.Kind{fail.Invalid, fail.Unsupported, fail.TooBig} {
		if fail.Is(err, k) {
			return
		}
	}
	t.Errorf("%v\n%s", err, x)
}

// agrees compares a value with an inferred type.
func agrees(v *model.Tensor, t model.Type) string {
	if v.DType.Composite() || v.None {
		if t.Kind == model.KindTensor && (t.DType != model.Undefined || t.Ranked) {
			return "inferred as " + t.String()
		}
		return ""
	}
	if err := v.Check(); err != nil {
		return err.Error()
	}
	switch {
	case t.Kind == model.KindOptional:
		return ""
	case t.Kind != model.KindTensor, t.DType != model.Undefined && t.DType != v.DType, t.Ranked && len(t.Shape) != len(v.Shape):
		return "inferred as " + t.String()
	}
	for i, d := range t.Shape {
		if d.Known() && d.N != v.Shape[i] {
			return "inferred as " + t.String()
		}
	}
	return ""
}
