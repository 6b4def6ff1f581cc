package dataset

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fettle/model"
)

func TestCoverage(t *testing.T) {
	in := model.Value{Name: "x", Type: model.TensorType(model.Float32, model.FixedShape(1, 16))}
	set := func(seed uint64, items int, shift, spread float64) *Set {
		r := rand.New(rand.NewPCG(seed, 1))
		var b strings.Builder
		for range items {
			for c := range 16 {
				if c > 0 {
					b.WriteByte(',')
				}
				fmt.Fprintf(&b, "%g", shift+spread*r.NormFloat64())
			}
			b.WriteByte('\n')
		}
		file := filepath.Join(t.TempDir(), "a.csv")
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		s, err := Open(file, Options{Inputs: []model.Value{in}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	base := set(1, 100, 0, 1)
	for _, c := range []struct {
		name  string
		score *Set
		want  string
	}{
		{"alike", set(2, 120, 0, 1), ""},
		{"brighter", set(3, 60, 1, 1), "the mean of input x"},
		{"flatter", set(4, 60, 0, 0.4), "the deviation of input x"},
		{"too few to say", set(5, 5, 3, 1), ""},
	} {
		got, err := Coverage(context.Background(), base, c.score)
		if err != nil {
			t.Fatal(err)
		}
		if c.want == "" && got != nil || c.want != "" && !strings.Contains(fmt.Sprint(got), c.want) {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}
