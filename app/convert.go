package app

import (
	"context"
	"path/filepath"
	"strings"

	"fettle/dataset"
	"fettle/internal/fail"
	"fettle/model"
	"fettle/ops"
	"fettle/optimizer"
)

// ConvertRequest says how a file becomes another.
type ConvertRequest struct {
	In, Out string
	Shapes  map[string][]int // inputs to fix
	Opset   int              // least ai.onnx opset, 0: as it is
	Extract string           // A..B: the part from value A to value B; several joined by commas
	Level   string           // int4: the upper halves of nested weights alone; "": as it is
	Fold    bool             // the preprocessing becomes part of the model
	// Preprocess is the file of the block to fold; "": the one in the model.
	Preprocess string
}

// Convert writes a model in another form.
func (a *App) Convert(ctx context.Context, q ConvertRequest) (*Inspection, error) {
	m, err := a.Load(ctx, q.In)
	if err != nil {
		return nil, err
	}
	if q.Level != "" {
		if m, err = levelFile(m, q.Level); err != nil {
			return nil, fail.In(err, "convert", fail.Where{File: q.In})
		}
	}
	if m, err = m.WithInputShapes(q.Shapes); err != nil {
		return nil, fail.In(err, "convert", fail.Where{File: q.In})
	}
	if q.Fold {
		p, err := preprocessOf(m, q.Preprocess)
		if err == nil && p == nil {
			err = dataset.NeedsPreprocess()
		}
		if err == nil {
			m, err = foldPreprocess(m, p)
		}
		if err != nil {
			return nil, fail.In(err, "fold the preprocessing", fail.Where{File: q.In})
		}
	}
	if q.Extract != "" {
		from, to, ok := strings.Cut(q.Extract, "..")
		if !ok || to == "" {
			return nil, fail.New(fail.Usage, "%q is no part", q.Extract).Try("write --extract A..B with the names of values")
		}
		if m, err = extract(m, from, to); err != nil {
			return nil, fail.In(err, "extract", fail.Where{File: q.In})
		}
	}
	if q.Opset > 0 {
		if m, err = optimizer.Upgrade(m, q.Opset, 0); err != nil {
			return nil, fail.In(err, "raise the opset", fail.Where{File: q.In})
		}
	}
	in, err := Describe(m)
	if err != nil {
		return nil, fail.In(err, "check the converted model", fail.Where{})
	}
	if wantsTFLite(q.Out) {
		if in.Notes, err = saveTFLite(ctx, q.Out, m); err != nil {
			return nil, fail.In(err, "save "+filepath.Base(q.Out), fail.Where{File: q.Out})
		}
		return in, nil
	}
	return in, a.Save(q.Out, m)
}

func extract(m *model.Model, from, to string) (*model.Model, error) {
	inf, _, err := ops.Infer(m, nil)
	if err != nil {
		return nil, err
	}
	list := func(s string) []string {
		if s == "" {
			return nil
		}
		return strings.Split(s, ",")
	}
	return m.Extract(list(from), list(to), inf.Types)
}
