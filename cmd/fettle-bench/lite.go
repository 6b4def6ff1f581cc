package main

import (
	"bytes"
	"context"
	"math"
	"os"

	"fettle/engine"
	"fettle/kernels/cpu"
	"fettle/model"
	"fettle/model/tflite"
	"fettle/ops"
	"fettle/optimizer"
	"fettle/optimizer/catalog"
)

// writeLite writes the network as the other engines get it as a TensorFlow Lite file. Batch normalisations are folded before, which the format's
// converter does too. Outputs of integer layers get the range of one run, so that the last layer is one of integers there as it is here.
func writeLite(ctx context.Context, file string, m *model.Model) error {
	steps, err := optimizer.Run(ctx, m, &optimizer.Recipe{Schema: 1, Seed: 1, Steps: []optimizer.RecipeStep{{Pass: "fold-constants"}, {Pass: "fold-batchnorm"}}}, optimizer.Env{Passes: catalog.Passes()})
	if err != nil {
		return err
	}
	m = steps[len(steps)-1].Model
	in := random(m.Graph.Free(), 1)
	types := map[string]model.Type{}
	for name, t := range in {
		types[name] = model.TypeOf(t)
	}
	inf, _, err := ops.Infer(m, types)
	if err != nil {
		return err
	}
	facts := tflite.Facts{Types: inf.Types, Consts: inf.Consts}
	if facts.Ranges, err = ranges(ctx, m, in); err != nil {
		return err
	}
	var b bytes.Buffer
	notes, err := tflite.Write(&b, m, facts)
	if err != nil {
		return err
	}
	for _, n := range notes {
		os.Stderr.WriteString("tflite: " + n + "\n")
	}
	return os.WriteFile(file, b.Bytes(), 0o644)
}

// ranges are the least and the largest element of each output in one run.
func ranges(ctx context.Context, m *model.Model, in map[string]*model.Tensor) (map[string][2]float32, error) {
	p, err := engine.Compile(ctx, m, engine.Options{Threads: 1, Features: cpu.Detect()})
	if err != nil {
		return nil, err
	}
	s, err := p.NewSession()
	if err != nil {
		return nil, err
	}
	defer s.Close()
	out, err := s.Run(ctx, in)
	if err != nil {
		return nil, err
	}
	r := map[string][2]float32{}
	for i, o := range m.Graph.Outputs {
		lo, hi := math.Inf(1), math.Inf(-1)
		for k := range out[i].Len() {
			v := out[i].Float64At(k)
			lo, hi = min(lo, v), max(hi, v)
		}
		r[o.Name] = [2]float32{float32(lo), float32(hi)}
	}
	return r, nil
}
