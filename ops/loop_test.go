package ops

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"fettle/internal/fail"
	"fettle/model"
)

// graphOf makes a graph from lines "out1,out2 = Op(in1,in2)"; attributes come in attrs by the first output.
func graphOf(in, out []string, lines []string, attrs map[string][]model.Attr) *model.Graph {
	g := &model.Graph{Name: "g"}
	for _, n := range in {
		g.Inputs = append(g.Inputs, model.Value{Name: n})
	}
	for _, n := range out {
		g.Outputs = append(g.Outputs, model.Value{Name: n})
	}
	for _, l := range lines {
		outs, rest, _ := strings.Cut(l, " = ")
		op, args, _ := strings.Cut(strings.TrimSuffix(rest, ")"), "(")
		n := &model.Node{Op: op, Outputs: strings.Split(outs, ",")}
		if args != "" {
			n.Inputs = strings.Split(args, ",")
		}
		n.Attrs = attrs[n.Outputs[0]]
		g.Nodes = append(g.Nodes, n)
	}
	model.AssignIDs(g, "")
	return g
}

func modelOf(g *model.Graph, opset int64) *model.Model {
	return &model.Model{IRVersion: 10, Opsets: []model.Opset{{Version: opset}}, Graph: g}
}

func graphAttr(name string, g *model.Graph) model.Attr {
	return model.Attr{Name: name, Type: model.AttrGraph, G: g}
}

func constant(t *model.Tensor) []model.Attr {
	return []model.Attr{{Name: "value", Type: model.AttrTensor, T: t}}
}

func TestLoop(t *testing.T) {
	yes := tensor(model.Bool, nil, 1)
	// A body that doubles its state, adds the outer value k, and gives the state as a scan output while it is below limit.
	body := func() *model.Graph {
		return graphOf([]string{"i", "c", "s"}, []string{"on", "next", "row"}, []string{"d = Add(s,s)", "next = Add(d,k)", "row = Identity(next)", "on = Less(next,limit)"}, nil)
	}
	for _, c := range []struct {
		name     string
		most     *model.Tensor
		cond     *model.Tensor
		limit    float64
		want     float64
		rows     []float64
		outer    float64
		wantShow string
	}{
		{"ends by its condition", nil, yes, 20, 31, []float64{3, 7, 15, 31}, 1, ""},
		{"ends by its count", model.FromSlice(model.Int64, []int64{2}), yes, 1e9, 7, []float64{3, 7}, 1, ""},
		{"count of rank 1, no condition", model.Int64s(3), nil, 1e9, 8, []float64{2, 4, 8}, 0, ""},
		{"no iteration", model.FromSlice(model.Int64, []int64{0}), yes, 1e9, 1, []float64{}, 1, ""},
		{"a negative count", model.FromSlice(model.Int64, []int64{-5}), nil, 1e9, 1, []float64{}, 1, ""},
		{"a condition that is false from the start", nil, tensor(model.Bool, nil, 0), 1e9, 1, []float64{}, 1, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := body()
			b.Outputs[2].Type = model.TensorType(model.Float32, model.Shape{})
			in := []string{"", "", "s0"}
			given := map[string]*model.Tensor{"s0": tensor(model.Float32, nil, 1), "k": tensor(model.Float32, nil, c.outer), "limit": tensor(model.Float32, nil, c.limit)}
			names := []string{"s0", "k", "limit"}
			if c.most != nil {
				in[0], given["m"], names = "m", c.most, append(names, "m")
			}
			if c.cond != nil {
				in[1], given["c0"], names = "c0", c.cond, append(names, "c0")
			}
			g := graphOf(names, []string{"s", "rows"}, []string{"s,rows = Loop(" + strings.Join(in, ",") + ")"}, map[string][]model.Attr{"s": {graphAttr("body", b)}})
			out, err := Evaluate(context.Background(), modelOf(g, 16), given)
			if err != nil {
				t.Fatal(err)
			}
			near(t, out[0], tensor(model.Float32, nil, c.want), 0)
			near(t, out[1], vec(c.rows...), 0)
		})
	}
}

func TestLoopIsCancelled(t *testing.T) {
	for name, lines := range map[string][]string{"a body of nodes": {"on = Identity(c)"}, "an empty body": nil} {
		t.Run(name, func(t *testing.T) {
			out := "on"
			if lines == nil {
				out = "c"
			}
			body := graphOf([]string{"i", "c"}, []string{out}, lines, nil)
			g := graphOf(nil, []string{}, []string{" = Loop()"}, nil)
			g.Nodes[0].Outputs = nil
			g.Nodes[0].Attrs = []model.Attr{graphAttr("body", body)}
			ctx, stop := context.WithTimeout(context.Background(), 50*time.Millisecond)
			defer stop()
			start := time.Now()
			_, err := Evaluate(ctx, modelOf(g, 16), nil)
			if err == nil || time.Since(start) > 5*time.Second {
				t.Fatalf("err %v after %v", err, time.Since(start))
			}
		})
	}
}

func TestLoopRefuses(t *testing.T) {
	ok := func() *model.Graph { return graphOf([]string{"i", "c", "s"}, []string{"c", "s"}, nil, nil) }
	two := tensor(model.Float32, []int{2}, 1, 2)
	for _, c := range []struct {
		name string
		in   []*model.Tensor
		body *model.Graph
	}{
		{"a count of two numbers", []*model.Tensor{model.Int64s(1, 2), nil, two}, ok()},
		{"a body with too few inputs", []*model.Tensor{model.Int64s(1), nil, two}, graphOf([]string{"i", "c"}, []string{"c", "i"}, nil, nil)},
		{"a body with too few outputs", []*model.Tensor{model.Int64s(1), nil, two}, graphOf([]string{"i", "c", "s"}, []string{"c"}, nil, nil)},
		{"a condition that is a number", []*model.Tensor{model.Int64s(1), nil, two}, graphOf([]string{"i", "c", "s"}, []string{"i", "s"}, nil, nil)},
		{"a value nobody makes", []*model.Tensor{model.Int64s(1), nil, two}, graphOf([]string{"i", "c", "s"}, []string{"c", "q"}, nil, nil)},
		{"an absent state", []*model.Tensor{model.Int64s(1), nil, nil}, ok()},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := apply(applied{op: "Loop", attrs: map[string]any{"body": c.body}}, c.in...)
			refused(t, err, fail.Invalid)
		})
	}
	// Scan outputs that change their shape cannot be joined.
	body := graphOf([]string{"i", "c", "s"}, []string{"c", "next", "next"}, []string{"next = Concat(s,s)"}, map[string][]model.Attr{"next": {attrOf("axis", 0)}})
	_, err := apply(applied{op: "Loop", attrs: map[string]any{"body": body}, outs: 2}, model.Int64s(3), nil, two)
	refused(t, err, fail.Invalid)
}

// TestLoopTypes: what iterations change in a type is not claimed to be known.
func TestLoopTypes(t *testing.T) {
	body := graphOf([]string{"i", "c", "s", "q"}, []string{"c", "next", "q", "q"}, []string{"next = Concat(s,s)"}, map[string][]model.Attr{"next": {attrOf("axis", 0)}})
	g := graphOf([]string{"m", "s0", "q0"}, []string{"s", "q", "rows"}, []string{"s,q,rows = Loop(m,,s0,q0)"}, map[string][]model.Attr{"s": {graphAttr("body", body)}})
	inf, _, err := Infer(modelOf(g, 16), map[string]model.Type{"m": model.TensorType(model.Int64, model.Shape{}),
		"s0": model.TensorType(model.Float32, model.FixedShape(2, 3)), "q0": model.TensorType(model.Float32, model.FixedShape(5))})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"s": "float32[?, 3]", "q": "float32[5]", "rows": "float32[?, 5]"} {
		if got := inf.Types[name].String(); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

func TestScan(t *testing.T) {
	body := func() *model.Graph { // the running sum, and the sum before
		return graphOf([]string{"s", "x"}, []string{"next", "s"}, []string{"next = Add(s,x)"}, nil)
	}
	m := tensor(model.Float32, []int{2, 3}, 1, 2, 3, 10, 20, 30)
	for _, c := range []struct {
		name  string
		opset int
		attrs map[string]any
		in    []*model.Tensor
		state *model.Tensor
		rows  *model.Tensor
	}{
		{"rows", 9, nil, []*model.Tensor{vec(0, 0, 0), m}, vec(11, 22, 33), tensor(model.Float32, []int{2, 3}, 0, 0, 0, 1, 2, 3)},
		{"rows from the back", 9, map[string]any{"scan_input_directions": []int64{1}}, []*model.Tensor{vec(0, 0, 0), m}, vec(11, 22, 33), tensor(model.Float32, []int{2, 3}, 0, 0, 0, 10, 20, 30)},
		{"columns", 11, map[string]any{"scan_input_axes": []int64{-1}}, []*model.Tensor{vec(0, 0), m}, vec(6, 60), tensor(model.Float32, []int{3, 2}, 0, 0, 1, 10, 3, 30)},
		{"columns out too", 11, map[string]any{"scan_input_axes": []int64{1}, "scan_output_axes": []int64{1}}, []*model.Tensor{vec(0, 0), m}, vec(6, 60), tensor(model.Float32, []int{2, 3}, 0, 1, 3, 0, 10, 30)},
		{"output from the back", 9, map[string]any{"scan_output_directions": []int64{1}}, []*model.Tensor{vec(0, 0, 0), m}, vec(11, 22, 33), tensor(model.Float32, []int{2, 3}, 1, 2, 3, 0, 0, 0)},
		{"a batch with lengths", 8, nil, []*model.Tensor{tensor(model.Int64, []int{2}, 1, 2), tensor(model.Float32, []int{2, 1}, 0, 100), tensor(model.Float32, []int{2, 2, 1}, 1, 2, 3, 4)},
			tensor(model.Float32, []int{2, 1}, 1, 107), tensor(model.Float32, []int{2, 2, 1}, 0, 0, 100, 103)},
	} {
		t.Run(c.name, func(t *testing.T) {
			attrs := map[string]any{"body": body(), "num_scan_inputs": 1}
			for k, v := range c.attrs {
				attrs[k] = v
			}
			out, err := apply(applied{op: "Scan", opset: c.opset, attrs: attrs, outs: 2}, c.in...)
			if err != nil {
				t.Fatal(err)
			}
			near(t, out[0], c.state, 0)
			near(t, out[1], c.rows, 0)
		})
	}
	for name, c := range map[string]struct {
		attrs map[string]any
		in    []*model.Tensor
	}{
		"an axis outside":          {map[string]any{"scan_input_axes": []int64{2}, "num_scan_inputs": 1}, []*model.Tensor{vec(0, 0, 0), m}},
		"no scan inputs":           {map[string]any{"num_scan_inputs": 0}, []*model.Tensor{vec(0, 0, 0), m}},
		"more than there are":      {map[string]any{"num_scan_inputs": 3}, []*model.Tensor{vec(0, 0, 0), m}},
		"a scalar as scan input":   {map[string]any{"num_scan_inputs": 1}, []*model.Tensor{vec(0), tensor(model.Float32, nil, 1)}},
		"a direction of no name":   {map[string]any{"num_scan_inputs": 1, "scan_input_directions": []int64{2}}, []*model.Tensor{vec(0, 0, 0), m}},
		"an output axis too large": {map[string]any{"num_scan_inputs": 1, "scan_output_axes": []int64{5}}, []*model.Tensor{vec(0, 0, 0), m}},
	} {
		t.Run(name, func(t *testing.T) {
			c.attrs["body"] = body()
			_, err := apply(applied{op: "Scan", opset: 11, attrs: c.attrs, outs: 2}, c.in...)
			refused(t, err, fail.Invalid)
		})
	}
}

func TestIfReadsOuterNames(t *testing.T) {
	then := graphOf(nil, []string{"a"}, []string{"a = Add(x,x)"}, nil)
	inner := graphOf(nil, []string{"b"}, []string{"b = Mul(x,two)"}, nil)
	other := graphOf(nil, []string{"c"}, []string{"two = Constant()", "c = If(cond2)"}, map[string][]model.Attr{"two": constant(vec(2)), "c": {graphAttr("then_branch", inner), graphAttr("else_branch", inner)}})
	g := graphOf([]string{"cond", "cond2", "x"}, []string{"y"}, []string{"y = If(cond)"}, map[string][]model.Attr{"y": {graphAttr("then_branch", then), graphAttr("else_branch", other)}})
	for _, c := range []struct{ cond, want float64 }{{1, 6}, {0, 6}} {
		out, err := Evaluate(context.Background(), modelOf(g, 16), map[string]*model.Tensor{"cond": tensor(model.Bool, nil, c.cond), "cond2": tensor(model.Bool, nil, 1), "x": vec(3)})
		if err != nil {
			t.Fatal(err)
		}
		near(t, out[0], vec(c.want), 0)
	}
}

func TestConstant(t *testing.T) {
	big := make([]int64, 3)
	for name, c := range map[string]struct {
		attrs map[string]any
		want  *model.Tensor
	}{
		"float":   {map[string]any{"value_float": 1.5}, tensor(model.Float32, nil, 1.5)},
		"floats":  {map[string]any{"value_floats": []float32{1, 2}}, vec(1, 2)},
		"int":     {map[string]any{"value_int": 7}, tensor(model.Int64, nil, 7)},
		"ints":    {map[string]any{"value_ints": big}, tensor(model.Int64, []int{3}, 0, 0, 0)},
		"text":    {map[string]any{"value_string": "a"}, model.Strings([]string{"a"})},
		"texts":   {map[string]any{"value_strings": []string{"a", "b"}}, model.Strings([]string{"a", "b"}, 2)},
		"tensor":  {map[string]any{"value": tensor(model.Float16, []int{1}, 2)}, tensor(model.Float16, []int{1}, 2)},
		"nothing": {nil, nil},
		"two":     {map[string]any{"value_int": 7, "value_float": 1.0}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := apply(applied{op: "Constant", attrs: c.attrs})
			if c.want == nil {
				refused(t, err, fail.Invalid)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			near(t, out[0], c.want, 0)
		})
	}
}

func TestSequences(t *testing.T) {
	a, b, c := vec(1), vec(2, 3), vec(4)
	s := sequenceOf(model.Float32, a, b, c)
	show := func(t *model.Tensor) string {
		var p []string
		for _, e := range t.Elems {
			p = append(p, fmt.Sprint(values(e)))
		}
		return strings.Join(p, " ")
	}
	at := func(i int64) *model.Tensor { return model.FromSlice(model.Int64, []int64{i}) }
	for _, k := range []struct {
		name string
		run  applied
		in   []*model.Tensor
		want string
	}{
		{"insert at the end", applied{op: "SequenceInsert"}, []*model.Tensor{s, vec(9)}, "[1] [2 3] [4] [9]"},
		{"insert at the front", applied{op: "SequenceInsert"}, []*model.Tensor{s, vec(9), at(-3)}, "[9] [1] [2 3] [4]"},
		{"insert behind the last", applied{op: "SequenceInsert"}, []*model.Tensor{s, vec(9), at(3)}, "[1] [2 3] [4] [9]"},
		{"erase the last", applied{op: "SequenceErase"}, []*model.Tensor{s}, "[1] [2 3]"},
		{"erase the first", applied{op: "SequenceErase"}, []*model.Tensor{s, at(0)}, "[2 3] [4]"},
		{"split into ones", applied{op: "SplitToSequence"}, []*model.Tensor{vec(1, 2, 3)}, "[1] [2] [3]"},
		{"split without the axis", applied{op: "SplitToSequence", attrs: map[string]any{"keepdims": 0}}, []*model.Tensor{tensor(model.Float32, []int{2, 2}, 1, 2, 3, 4)}, "[1 2] [3 4]"},
		{"split by size, the last is short", applied{op: "SplitToSequence"}, []*model.Tensor{vec(1, 2, 3), at(2)}, "[1 2] [3]"},
		{"split by sizes", applied{op: "SplitToSequence"}, []*model.Tensor{vec(1, 2, 3), model.Int64s(0, 3)}, "[] [1 2 3]"},
		{"construct", applied{op: "SequenceConstruct"}, []*model.Tensor{a, c}, "[1] [4]"},
	} {
		t.Run(k.name, func(t *testing.T) {
			out, err := apply(k.run, k.in...)
			if err != nil {
				t.Fatal(err)
			}
			if got := show(out[0]); got != k.want {
				t.Errorf("got %s, want %s", got, k.want)
			}
		})
	}
	if show(s) != "[1] [2 3] [4]" {
		t.Fatalf("an operator wrote its input: %s", show(s))
	}
	for name, k := range map[string]struct {
		run applied
		in  []*model.Tensor
	}{
		"position outside":             {applied{op: "SequenceAt"}, []*model.Tensor{s, at(3)}},
		"erase from nothing":           {applied{op: "SequenceErase"}, []*model.Tensor{sequenceOf(model.Float32)}},
		"another type":                 {applied{op: "SequenceInsert"}, []*model.Tensor{s, tensor(model.Int32, []int{1}, 1)}},
		"join of different ranks":      {applied{op: "ConcatFromSequence", attrs: map[string]any{"axis": 0, "new_axis": 1}}, []*model.Tensor{s}},
		"join of nothing":              {applied{op: "ConcatFromSequence", attrs: map[string]any{"axis": 0}}, []*model.Tensor{sequenceOf(model.Float32)}},
		"split into parts of 0":        {applied{op: "SplitToSequence"}, []*model.Tensor{vec(1), at(0)}},
		"parts that do not fit":        {applied{op: "SplitToSequence"}, []*model.Tensor{vec(1, 2), model.Int64s(1, 2)}},
		"the length of a tensor":       {applied{op: "SequenceLength"}, []*model.Tensor{a}},
		"a sum with a sequence":        {applied{op: "Add"}, []*model.Tensor{a, s}},
		"a sum with an empty optional": {applied{op: "Add"}, []*model.Tensor{a, {None: true}}},
		"the value of nothing":         {applied{op: "OptionalGetElement"}, []*model.Tensor{{None: true}}},
		"an optional of no type":       {applied{op: "Optional"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := apply(k.run, k.in...)
			refused(t, err, fail.Invalid)
		})
	}
}

func TestSequenceMap(t *testing.T) {
	body := graphOf([]string{"x", "y"}, []string{"z"}, []string{"z = Add(x,y)"}, nil)
	in := sequenceOf(model.Float32, vec(1), vec(2, 3))
	for name, c := range map[string]struct {
		other *model.Tensor
		want  []float64
	}{
		"with a tensor":   {vec(10), []float64{11, 12, 13}},
		"with a sequence": {sequenceOf(model.Float32, vec(10), vec(20)), []float64{11, 22, 23}},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := apply(applied{op: "SequenceMap", attrs: map[string]any{"body": body}}, in, c.other)
			if err != nil {
				t.Fatal(err)
			}
			var got []float64
			for _, e := range out[0].Elems {
				got = append(got, values(e)...)
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	_, err := apply(applied{op: "SequenceMap", attrs: map[string]any{"body": body}}, in, sequenceOf(model.Float32, vec(1)))
	refused(t, err, fail.Invalid)
}
