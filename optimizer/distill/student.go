package distill

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
)

// student
//
//	Before:     any network from one picture to one number a class
//	After:      a small network of a ready form with the same input and output, its weights random
//	Conditions: one float32 input of fixed channels, height and width; one output of fixed classes. The step distill has to follow.
//	Exactness:  scored: it knows nothing before it has learned.
//	Paper:      Hinton et al. 2015, arXiv:1503.02531; Howard et al. 2017, arXiv:1704.04861 (separable); He et al. 2016, arXiv:1512.03385 (residual).

// Student are the options of student.
type Student struct {
	Form  string `opt:"form" enum:"plain separable residual" help:"3x3 convolutions one behind another, each as one by channel and one by pixel, or with a way past" paper:"Howard et al. 2017, arXiv:1704.04861; He et al. 2016, arXiv:1512.03385"`
	Width int    `opt:"width" min:"4" max:"256" help:"channels of the first stage; each stage doubles them and halves the picture"`
	Depth int    `opt:"depth" min:"1" max:"8" help:"layers, or blocks, of each of three stages"`
	Seed  int    `opt:"seed" min:"0" max:"1000000000" help:"of the random weights"`
}

// NewStudent makes the pass with its defaults.
func NewStudent() optimizer.Pass { return &student{o: Student{Form: "separable", Width: 16, Depth: 1}} }

type student struct{ o Student }

const studentName = "student"

// Info describes the pass.
func (p *student) Info() optimizer.Info {
	return optimizer.Info{Name: studentName, Title: "Small student", Exactness: optimizer.Scored,
		Promise: "Puts a small network of a ready form in the place of the model; distill, behind it, teaches it what the model knows.",
		Paper:   "Hinton et al. 2015, arXiv:1503.02531", Undo: "the model itself"}
}

// Options is the struct of options.
func (p *student) Options() any { return &p.o }

// Check says whether a student fits.
func (p *student) Check(env *optimizer.Env, m *model.Model) ([]optimizer.Finding, error) {
	_, found, err := p.Apply(context.Background(), env, m)
	return found, err
}

// Apply makes the student.
func (p *student) Apply(_ context.Context, env *optimizer.Env, m *model.Model) (*model.Model, []optimizer.Finding, error) {
	f := optimizer.Describe(studentName, m.Graph.Nodes...)
	f.Label, f.Outcome = "student", optimizer.Refused
	in, dims, classes, why := ends(m)
	if why != "" {
		f.Reason = why
		return m, []optimizer.Finding{f}, nil
	}
	out, err := p.build(m, in, dims, classes, env.Seed)
	if err != nil {
		return nil, nil, fail.In(err, studentName, fail.Where{})
	}
	a, err := optimizer.Measure(m)
	if err != nil {
		return nil, nil, err
	}
	b, err := optimizer.Measure(out)
	if err != nil {
		return nil, nil, err
	}
	f.Outcome, f.Gain.Bytes = optimizer.Applied, a.WeightBytes-b.WeightBytes
	f.Reason = fmt.Sprintf("%s, %d channels, %d a stage in the place of the model: %d -> %d multiply-adds; its weights are random, it has to learn", p.o.Form, p.o.Width, p.o.Depth, a.MACs, b.MACs)
	return out, []optimizer.Finding{f}, nil
}

// ends are the input and the number of classes, or why no student fits.
func ends(m *model.Model) (in model.Value, dims []int, classes int, why string) {
	free := m.Graph.Free()
	if len(free) != 1 || len(m.Graph.Outputs) != 1 {
		return in, nil, 0, fmt.Sprintf("a student has one input and one output, the model has %d and %d", len(free), len(m.Graph.Outputs))
	}
	in, out := free[0], m.Graph.Outputs[0].Type
	if in.Type.DType != model.Float32 || !in.Type.Ranked || len(in.Type.Shape) != 4 {
		return in, nil, 0, "a student looks at pictures of float32 numbers, the input is " + in.Type.String()
	}
	for _, d := range in.Type.Shape[1:] {
		if !d.Known() {
			return in, nil, 0, "the input has open sizes"
		}
		dims = append(dims, int(d.N))
	}
	if !out.Ranked || len(out.Shape) != 2 || !out.Shape[1].Known() || out.Shape[1].N < 2 {
		return in, nil, 0, "a student gives one number a class, the output is " + out.String()
	}
	return in, dims, int(out.Shape[1].N), ""
}

// build makes the network, with weights of variance 2/inputs (He et al. 2015, arXiv:1502.01852).
func (p *student) build(m *model.Model, in model.Value, dims []int, classes int, seed int64) (*model.Model, error) {
	r := rand.New(rand.NewPCG(uint64(seed), uint64(p.o.Seed)+77))
	b := model.NewBuilder("student", 17)
	weights := func(name string, gain float64, shape ...int) string {
		t := model.NewTensor(model.Float32, shape...)
		fan := t.Len() / shape[0]
		for i := range model.Data[float32](t) {
			model.Data[float32](t)[i] = float32(r.NormFloat64() * math.Sqrt(gain/float64(fan)))
		}
		return b.Const(name, t)
	}
	conv := func(name, x string, from, to, k, stride, group int, gain float64) string {
		pad := int64(k / 2)
		return b.Node("Conv", name, []string{x, weights(name+".w", gain, to, from/group, k, k), b.Const(name+".b", model.NewTensor(model.Float32, to))},
			model.IntsAttr("kernel_shape", int64(k), int64(k)), model.IntsAttr("strides", int64(stride), int64(stride)),
			model.IntsAttr("pads", pad, pad, pad, pad), model.IntAttr("group", int64(group)))
	}
	relu := func(x string) string { return b.Node("Relu", x+".relu", []string{x}) }
	x := b.Input(in.Name, model.Float32, in.Type.Shape)
	first := 1
	for size := min(dims[1], dims[2]); size > 64 && first < 4; size /= 2 { // large pictures begin coarser
		first *= 2
	}
	c := p.o.Width
	x = relu(conv("stem", x, dims[0], c, 3, first, 1, 2))
	for stage := range 3 {
		for k := range p.o.Depth {
			name, stride, to := fmt.Sprintf("s%d.%d", stage, k), 1, p.o.Width<<stage
			if stage > 0 && k == 0 {
				stride = 2
			}
			switch p.o.Form {
			case "plain":
				x = relu(conv(name, x, c, to, 3, stride, 1, 2))
			case "separable":
				x = relu(conv(name+".depth", x, c, c, 3, stride, c, 2))
				x = relu(conv(name+".point", x, c, to, 1, 1, 1, 2))
			default:
				past := x
				if c != to {
					past = conv(name+".past", x, c, to, 1, stride, 1, 1)
				}
				y := relu(conv(name+".a", x, c, to, 3, stride, 1, 2))
				x = relu(b.Node("Add", name+".sum", []string{conv(name+".b", y, to, to, 3, 1, 1, 0.5), past}))
			}
			c = to
		}
	}
	x = b.Node("Flatten", "flat", []string{b.Node("GlobalAveragePool", "pool", []string{x})})
	y := []string{x, weights("classes.w", 1, classes, c), b.Const("classes.b", model.NewTensor(model.Float32, classes))}
	out := m.Graph.Outputs[0]
	last := &model.Node{ID: "classes", Name: "classes", Op: "Gemm", Inputs: y, Outputs: []string{out.Name}, Attrs: []model.Attr{model.IntAttr("transB", 1)}}
	if n := m.Graph.Producer(out.Name); n != nil && n.Op == "Softmax" { // the same kind of answer
		last.Outputs = []string{"classes.logits"}
		b.Add(last)
		last = &model.Node{ID: "softmax", Name: "softmax", Op: "Softmax", Inputs: []string{"classes.logits"}, Outputs: []string{out.Name}, Attrs: []model.Attr{model.IntAttr("axis", -1)}}
	}
	b.Add(last)
	b.OutputOf(model.Value{Name: out.Name, Type: model.TensorType(model.Float32, out.Type.Shape)})
	s, err := b.Model()
	if err != nil {
		return nil, err
	}
	stands := model.MergeOrigins(m.Graph.Nodes...) // each node for the whole model
	for _, n := range s.Graph.Nodes {
		n.Origin = stands
	}
	s.Metadata = slices.Clone(m.Metadata) // how a picture becomes the input is the same
	return s, nil
}
