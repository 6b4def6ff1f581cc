package conformance

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"fettle/model"
	"fettle/ops"
)

// TestRealModels runs trained networks on the inputs and outputs that ONNX Runtime gave for them.
func TestRealModels(t *testing.T) {
	data, ok := sharedData()
	if !ok {
		t.Skip("no ../shared/data beside the repository")
	}
	dirs, err := filepath.Glob(filepath.Join(data, "model-cases", "*", "test_data_set_0"))
	if err != nil || len(dirs) == 0 {
		t.Skipf("no cases in %s", data)
	}
	for _, d := range dirs {
		name := filepath.Base(filepath.Dir(d))
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// The cases name their model, which lies beside them, so that it need not be there twice.
			dir := filepath.Join(t.TempDir(), name)
			if err := os.Mkdir(dir, 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(filepath.Join(data, "models", name+".onnx"), filepath.Join(dir, "model.onnx")); err != nil {
				t.Skip(err)
			}
			sets := []string{"test_data_set_0", "test_data_set_1"}
			if testing.Short() {
				sets = sets[:1]
			}
			for _, s := range sets {
				if err := os.Symlink(filepath.Join(filepath.Dir(d), s), filepath.Join(dir, s)); err != nil {
					t.Fatal(err)
				}
			}
			r, err := Run(context.Background(), dir, nil, func(ctx context.Context, m *model.Model, in map[string]*model.Tensor) ([]*model.Tensor, error) {
				return ops.Evaluate(ctx, m, in)
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Cases) != 1 {
				t.Fatalf("%d cases, want 1", len(r.Cases))
			}
			for _, c := range r.Cases {
				if c.Status != "passed" {
					t.Errorf("%s: %s", c.Status, c.Reason)
				}
			}
		})
	}
}

// sharedData is the folder shared/data beside the repository, found from here upwards.
func sharedData() (string, bool) {
	dir, err := os.Getwd()
	for err == nil {
		p := filepath.Join(dir, "..", "shared", "data")
		if _, e := os.Stat(filepath.Join(dir, "go.mod")); e == nil {
			_, e = os.Stat(p)
			return p, e == nil
		}
		if dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	return "", false
}
