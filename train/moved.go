package train

import (
	"context"
	"fmt"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/ops"
)

// An operator that only moves numbers (Transpose, Slice, Concat, nearest Resize, …) is asked once where each number of its output
// comes from: the reference kernel runs on the places themselves instead of numbers. So all attributes mean what they mean there.

// origin says where each number of an output comes from: number at of input in, or nowhere.
type origin struct {
	shape []int
	in    []int8
	at    []int32 // in memory; -1: from no input
}

// dataInputs is the table of operators that move numbers, with the inputs whose numbers move; the others are constants.
func dataInputs() map[string]func(n *model.Node) []int {
	first := func(*model.Node) []int { return []int{0} }
	all := func(n *model.Node) []int {
		l := make([]int, len(n.Inputs))
		for i := range l {
			l[i] = i
		}
		return l
	}
	return map[string]func(n *model.Node) []int{
		"Transpose": first, "Slice": first, "Pad": first, "Squeeze": first, "Unsqueeze": first, "Reshape": first, "Flatten": first, "Gather": first,
		"GatherElements": first, "GatherND": first, "Expand": first, "Tile": first, "DepthToSpace": first, "SpaceToDepth": first, "Split": first,
		"Resize": first, "Upsample": first, "CenterCropPad": first, "ReverseSequence": first, "Concat": all, "Trilu": first,
		"Where": func(*model.Node) []int { return []int{1, 2} },
	}
}

// origins gives those of every output of n.
func (t *tape[T]) origins(n *model.Node, in []*array[T], data []int) ([]*origin, error) {
	key := string(n.ID)
	for _, i := range data {
		key += fmt.Sprint(in[i].shape)
	}
	if o := t.moves[key]; o != nil {
		return o, nil
	}
	args, err := t.places(n, in, data, model.Int64)
	if err != nil {
		return nil, err
	}
	e := &ops.Evaluator{Model: t.m}
	out, err := e.Node(context.Background(), t.m, n, args, nil)
	if err != nil { // an operator for floating-point numbers only
		if args, err = t.places(n, in, data, model.Float32); err != nil {
			return nil, err
		}
		if out, err = e.Node(context.Background(), t.m, n, args, nil); err != nil {
			return nil, err
		}
	}
	var l []*origin
	for _, y := range out {
		if y == nil {
			l = append(l, nil)
			continue
		}
		o := &origin{shape: y.Shape, in: make([]int8, y.Len()), at: make([]int32, y.Len())}
		to := positions(y.Shape)
		for i := range y.Len() {
			v, p := int(y.Float64At(i)), 0
			for p+1 < len(data) && v > len(in[data[p]].v) {
				v -= len(in[data[p]].v)
				p++
			}
			o.in[to(i)] = int8(data[p])
			o.at[to(i)] = -1
			if v > 0 {
				o.at[to(i)] = int32(positions(in[data[p]].shape)(v - 1))
			}
		}
		l = append(l, o)
	}
	t.moves[key] = l
	return l, nil
}

// places makes the inputs that hold the places of numbers, counted from 1 over all data inputs, and the constants.
func (t *tape[T]) places(n *model.Node, in []*array[T], data []int, as model.DType) ([]*model.Tensor, error) {
	args := make([]*model.Tensor, len(n.Inputs))
	count, moves := 0, map[int]bool{}
	for _, i := range data {
		moves[i] = true
		x := model.NewTensor(as, in[i].shape...)
		if count += x.Len(); as == model.Float32 && count > 1<<24 {
			return nil, fail.New(fail.Unsupported, "training knows no values of so many numbers here")
		}
		for k := range x.Len() {
			if as == model.Int64 {
				model.Data[int64](x)[k] = int64(count - x.Len() + k + 1)
			} else {
				model.Data[float32](x)[k] = float32(count - x.Len() + k + 1)
			}
		}
		args[i] = x
	}
	for i, name := range n.Inputs {
		if name == "" || moves[i] || n.Op == "Pad" && i == 2 {
			continue
		}
		if args[i] = t.consts[name]; args[i] == nil {
			return nil, fail.New(fail.Unsupported, "training knows a constant %s only", name)
		}
		if n.Op == "Reshape" {
			args[i] = forBatch(args[i], in[0].shape[0], len(in[0].v))
		}
	}
	return args, nil
}

// forBatch is a shape whose batch of 1, as the model was exported, has become that of a value of size numbers.
func forBatch(shape *model.Tensor, batch, size int) *model.Tensor {
	n, rest := 1, false
	for i := range shape.Len() {
		if d := int(shape.Int64At(i)); d > 0 {
			n *= d
		} else {
			rest = true
		}
	}
	if rest || shape.Len() == 0 || shape.Int64At(0) != 1 || n*batch != size {
		return shape
	}
	c := shape.Clone()
	model.Data[int64](c)[0] = int64(batch)
	return c
}

// positions gives the place in memory of the numbers of a value, by their place in its shape's order.
func positions(shape []int) func(i int) int {
	if len(shape) != 4 || shape[2]*shape[3] == 1 {
		return func(i int) int { return i }
	}
	c, size := shape[1], shape[2]*shape[3]
	return func(i int) int { return (i/(c*size)*size+i%size)*c + i/size%c }
}

// moved is the rule of an operator of dataInputs.
func moved[T float](data func(n *model.Node) []int) rule[T] {
	return rule[T]{many: &manyRule[T]{
		forward: func(t *tape[T], n *model.Node, in []*array[T]) ([]*array[T], any, error) {
			if n.Op == "Resize" || n.Op == "Upsample" {
				if mode := n.Str("mode", "nearest"); mode != "nearest" {
					return nil, nil, fail.New(fail.Unsupported, "training knows Resize with the modes nearest and linear, not %s", mode)
				}
			}
			l, err := t.origins(n, in, data(n))
			if err != nil {
				return nil, nil, err
			}
			fill := T(n.Float("value", 0))
			if c := t.consts[inputOf(n, 2)]; n.Op == "Pad" && c != nil {
				fill = T(c.Float64At(0))
			} else if n.Op == "Pad" && inputOf(n, 2) != "" {
				return nil, nil, fail.New(fail.Unsupported, "training knows Pad with a constant value only")
			}
			out := make([]*array[T], len(l))
			for k, o := range l {
				if o == nil {
					continue
				}
				y := t.array(o.shape...)
				for i, at := range o.at {
					if y.v[i] = fill; at >= 0 {
						y.v[i] = in[o.in[i]].v[at]
					}
				}
				out[k] = y
			}
			return out, l, nil
		},
		backward: func(t *tape[T], n *model.Node, in []*array[T], saved any, dys []*array[T]) ([]*array[T], error) {
			dxs := make([]*array[T], len(in))
			for _, i := range data(n) {
				dxs[i] = t.zeros(in[i].shape...)
			}
			for k, o := range saved.([]*origin) {
				if o == nil || dys[k] == nil {
					continue
				}
				for i, at := range o.at {
					if at >= 0 {
						dxs[o.in[i]].v[at] += dys[k].v[i]
					}
				}
			}
			return dxs, nil
		},
	}}
}
