package conformance

import (
	"context"
	"os"
	"sort"
	"strings"
	"testing"

	"fettle/model"
	"fettle/ops"
)

const cases = "/usr/share/libonnx-testdata/data"

// TestReferenceKernels runs Debian's libonnx-testdata with the reference kernels. The floors rise with what passes; none
// may fail.
func TestReferenceKernels(t *testing.T) {
	for _, c := range []struct {
		dir   string
		least int
	}{{"node", 930}, {"simple", 23}, {"pytorch-operator", 35}, {"pytorch-converted", 82}} {
		t.Run(c.dir, func(t *testing.T) {
			dir := cases + "/" + c.dir
			if _, err := os.Stat(dir); err != nil {
				t.Skip("libonnx-testdata is not installed")
			}
			r, err := Run(context.Background(), dir, nil, func(ctx context.Context, m *model.Model, in map[string]*model.Tensor) ([]*model.Tensor, error) {
				return ops.Evaluate(ctx, m, in)
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			missing := map[string]int{}
			for _, k := range r.Cases {
				switch k.Status {
				case "failed":
					t.Errorf("%s: %s", k.Name, k.Reason)
				case "unsupported":
					missing[k.Reason]++
				}
			}
			var lines []string
			for m := range missing {
				lines = append(lines, m)
			}
			sort.Strings(lines)
			t.Logf("%s\n%s", r.Summary(), strings.Join(lines, "\n"))
			if r.Passed < c.least {
				t.Errorf("%d passed, at least %d before", r.Passed, c.least)
			}
		})
	}
}
