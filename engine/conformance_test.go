package engine_test

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"fettle/engine"
	"fettle/internal/conformance"
	"fettle/model"
)

// TestConformanceSample runs 100 of Debian's ONNX backend cases through the engine, spread over all of them: scripts/arm/conformance.sh runs
// the same ones on an emulated processor.
func TestConformanceSample(t *testing.T) {
	const dir, sample = "/usr/share/libonnx-testdata/data/node", 100
	if _, err := os.Stat(dir); err != nil {
		t.Skip("skipped: libonnx-testdata is not installed")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "model.onnx"))
	if err != nil || len(files) < sample {
		t.Fatalf("%d cases in %s: %v", len(files), dir, err)
	}
	var names []string
	for i := range sample {
		names = append(names, regexp.QuoteMeta(filepath.Base(filepath.Dir(files[i*len(files)/sample]))))
	}
	r, err := conformance.Run(context.Background(), dir, regexp.MustCompile("^("+strings.Join(names, "|")+")$"), func(ctx context.Context, m *model.Model, in map[string]*model.Tensor) ([]*model.Tensor, error) {
		types := map[string]model.DType{}
		for k, v := range in {
			types[k] = v.DType
		}
		p, err := engine.Compile(ctx, m, engine.Options{Threads: 1, Features: best(), Shapes: shapes(in), Types: types})
		if err != nil {
			return nil, err
		}
		s, err := p.NewSession()
		if err != nil {
			return nil, err
		}
		defer s.Close()
		return s.Run(ctx, in)
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Cases) != sample {
		t.Fatalf("%d cases ran, want %d", len(r.Cases), sample)
	}
	t.Log(r.Summary())
	for _, c := range r.Cases {
		if c.Status == "failed" {
			t.Errorf("%s: %s", c.Name, c.Reason)
		}
	}
}
