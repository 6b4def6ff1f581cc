package train

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"fettle/internal/fail"
	"fettle/kernels/team"
	"fettle/model"
)

// TestRecomputeSameBits holds gradients and running statistics with values computed again to those with all of them kept.
func TestRecomputeSameBits(t *testing.T) {
	for _, c := range []struct {
		name         string
		m            *model.Model
		n, size      int
		fuse, frozen bool
	}{
		{"fused", normed(t, 8, 16), 13, 16, true, false},
		{"not fused", normed(t, 6, 12), 7, 12, false, false},
		{"frozen", normed(t, 8, 16), 6, 16, true, true},
		{"folded", resnet(t, 1, 8, 16), 6, 16, true, false},
		{"grouped", build(t, 4, 2), 16, 0, true, false},
		{"bounded", other(t), 9, 0, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			shape := []int{c.n, 3, c.size, c.size}
			if c.size == 0 {
				shape = []int{c.n, 2, 7, 6}
			}
			rng := rand.New(rand.NewPCG(13, 14))
			x := newArray[float32](shape...)
			for i := range x.v {
				x.v[i] = float32(rng.NormFloat64())
			}
			labels := make([]int, c.n)
			for i := range labels {
				labels[i] = i % 3
			}
			var want map[string][]float32
			for _, every := range []int{0, 1, 2, 3, 5, 8, 1000} {
				tp, err := newTape[float32](c.m)
				if err != nil {
					t.Fatal(err)
				}
				if tp.fast != nil {
					tp.fast.cuts, tp.fast.crew = 4, team.New(2)
					defer tp.fast.crew.Close()
				}
				tp.frozen, tp.recompute = c.frozen, Recompute{Every: every}
				if c.fuse {
					tp.fuse()
				}
				gradientsOf(t, tp, x, labels) // memory is used again, and running statistics have moved
				got := gradientsOf(t, tp, x, labels)
				if want == nil {
					want = got
				}
				sameBits(t, fmt.Sprintf("every %d", every), got, want)
			}
		})
	}
}

func sameBits(t *testing.T, what string, got, want map[string][]float32) {
	t.Helper()
	if a, b := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)); !slices.Equal(a, b) {
		t.Fatalf("%s: gradients of %v, want %v", what, a, b)
	}
	for name, v := range want {
		for k := range v {
			if v[k] != got[name][k] {
				t.Fatalf("%s: %s[%d] is %g, with everything kept %g", what, name, k, got[name][k], v[k])
			}
		}
	}
}

// TestRecomputeMemory counts the memory of a step: with half of the values allowed it has to fall by a third of them, and the weights learned stay the same bits.
func TestRecomputeMemory(t *testing.T) {
	m := resnet(t, 5, 16, 32)
	want := Want{Output: make([]float32, 10)}
	for i := range want.Output {
		want.Output[i] = float32(i)
	}
	stage := ""
	for _, n := range m.Graph.Nodes {
		if n.Op == "Relu" && n.Name == "s1.1.add.relu" || stage == "" && n.Op == "Relu" {
			stage = n.Outputs[0]
		}
	}
	learn := func(r Recompute) (weights map[string][]float32, bytes, values int64) {
		p, err := NewPupil(m, 1, How{Recompute: r})
		if err != nil {
			t.Fatal(err)
		}
		tp := p.tapes[0]
		for i := range tp.nodes {
			for _, o := range tp.made(i) {
				values += 8 * 4 * numbers(tp, o)
			}
		}
		w := want
		w.Features = map[string][]float32{stage: make([]float32, numbers(tp, stage))}
		for i := range w.Features[stage] {
			w.Features[stage][i] = float32(i % 7)
		}
		for range 2 {
			if _, err := p.Step(context.Background(), pictures(64, 32), [][]int{{3, 32, 32}}, Lesson{Temperature: 4, Features: 1}, 1e-3, func(context.Context, int, int) (Want, error) { return w, nil }); err != nil {
				t.Fatal(err)
			}
		}
		weights = map[string][]float32{}
		for _, q := range tp.params {
			weights[q.name] = q.v.v
		}
		return weights, tp.arena(), values
	}
	all, most, values := learn(Recompute{})
	some, least, _ := learn(Recompute{Bytes: values / 2})
	sameBits(t, "half", some, all)
	t.Logf("values of eight pictures %.1f MiB; memory of a step %.1f MiB, with half of it allowed for values %.1f", float64(values)/(1<<20), float64(most)/(1<<20), float64(least)/(1<<20))
	if most < values || least > values/2+(most-values)+3*4*chunkLen { // gradients, and what is left of chunks
		t.Errorf("memory of a step: %d bytes with everything kept, %d with half of %d allowed for values", most, least, values)
	}
	if most-least < values/3 {
		t.Errorf("memory fell from %d to %d bytes only, values are %d", most, least, values)
	}
}

// numbers is how many a value has for one picture.
func numbers(t *tape[float32], name string) int64 {
	dims, _ := t.types[name].Shape.Ints()
	return int64(count(dims))
}

// TestRecomputeTooLittle says what the least amount is.
func TestRecomputeTooLittle(t *testing.T) {
	p, err := NewPupil(resnet(t, 1, 8, 16), 1, How{Recompute: Recompute{Bytes: 1000}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Step(context.Background(), pictures(8, 16), [][]int{{3, 16, 16}}, Lesson{Temperature: 4}, 1e-3, func(context.Context, int, int) (Want, error) { return Want{Output: make([]float32, 10)}, nil })
	if !fail.Is(err, fail.Unsupported) {
		t.Errorf("%v, want unsupported with the least amount", err)
	}
}
