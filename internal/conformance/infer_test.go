package conformance

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/model/onnx"
	"fettle/ops"
)

// TestInferenceAgrees infers the types of every case before it runs and holds them against the values that running makes:
// inference may know less than there is, but nothing else.
func TestInferenceAgrees(t *testing.T) {
	if _, err := os.Stat(cases); err != nil {
		t.Skip("libonnx-testdata is not installed")
	}
	seen := 0
	err := filepath.WalkDir(cases, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "model.onnx" {
			return err
		}
		dir := filepath.Dir(p)
		name := caseName(cases, dir)
		m, err := onnx.ReadFile(context.Background(), p, onnx.DefaultBudget())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return nil
		}
		inf, unsupported, err := ops.Infer(m, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return nil
		}
		set := filepath.Join(dir, "test_data_set_0")
		err = dataSet(context.Background(), m, set, func(ctx context.Context, m *model.Model, in map[string]*model.Tensor) ([]*model.Tensor, error) {
			env, err := (&ops.Evaluator{Model: m}).Values(ctx, in)
			if err != nil {
				return nil, err
			}
			for v, got := range env {
				if m.Graph.Input(v) != nil {
					continue // some cases give inputs of another shape than they declare
				}
				if why := contradicts(inf.Types[v], got); why != "" {
					t.Errorf("%s: %s is %s, inferred as %s: %s", name, v, model.TypeOf(got), inf.Types[v], why)
				}
			}
			seen++
			var out []*model.Tensor
			for _, o := range m.Graph.Outputs {
				out = append(out, env[o.Name])
			}
			return out, nil
		})
		if err != nil && !fail.Is(err, fail.Unsupported) {
			t.Errorf("%s: %v", name, err)
		}
		if fail.Is(err, fail.Unsupported) && len(unsupported) == 0 {
			t.Errorf("%s is not supported, but inference lists no such node: %v", name, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 1000 {
		t.Errorf("%d cases ran, want 1,000 at least", seen)
	}
}

func contradicts(t model.Type, v *model.Tensor) string {
	switch {
	case v == nil || v.None || t.Kind == model.KindOptional:
		return ""
	case v.DType == model.Sequence:
		if t.Kind != model.KindSequence && (t.DType != model.Undefined || t.Ranked) {
			return "kind"
		}
		return ""
	case t.Kind != model.KindTensor:
		return "kind"
	case t.DType != model.Undefined && t.DType != v.DType:
		return "dtype"
	case t.Ranked && len(t.Shape) != len(v.Shape):
		return "rank"
	}
	for i, d := range t.Shape {
		if d.Known() && d.N != v.Shape[i] {
			return "shape"
		}
	}
	return ""
}
