package conformance

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/ops"
)

// TestRealModels runs trained networks on the inputs and outputs that ONNX Runtime gave for them.
func TestRealModels(t *testing.T) {
	data, ok := sharedData()
	if !ok {
		t.Skip("no ../shared/data beside the repository")
	}
	dirs, err := filepath.Glob(filepath.Join(data, "model-cases", "*"))
	if err != nil || len(dirs) == 0 {
		t.Skipf("no cases in %s", data)
	}
	slow := map[string]bool{"squeezenet_v1_0_imagenet": true, "super_resolution_espcn": true}
	for _, dir := range dirs {
		name := filepath.Base(dir)
		if _, err := os.Stat(modelFile(dir)); err != nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			if slow[name] && testing.Short() {
				t.Skip("-short was asked for: this model is not run with plain loops")
			}
			t.Parallel()
			if slow[name] {
				dir = firstSet(t, dir)
			}
			r, err := Run(context.Background(), dir, nil, func(ctx context.Context, m *model.Model, in map[string]*model.Tensor) ([]*model.Tensor, error) {
				if _, unsupported, err := ops.Infer(m, nil); err != nil || len(unsupported) > 0 {
					return nil, fail.New(fail.Failed, "inference: %v, %d nodes not supported", err, len(unsupported))
				}
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

// firstSet is the case with one of its data sets.
func firstSet(t *testing.T, dir string) string {
	one := t.TempDir()
	for name, to := range map[string]string{"model.onnx": modelFile(dir), "test_data_set_0": filepath.Join(dir, "test_data_set_0")} {
		if err := os.Symlink(to, filepath.Join(one, name)); err != nil {
			t.Skip(err)
		}
	}
	return one
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
