package engine_test

import (
	"context"
	"fmt"
	"sort"
	"testing"

	"fettle/engine"
	"fettle/model"
	"fettle/ops"
)

// sweep goes through the steps with the buffers alive at each, in the order of their offsets: neighbours must not overlap. It
// gives the most bytes alive at once. It is written apart from the placement that it checks.
func sweep(bufs []engine.Placed, steps int) (floor int, err error) {
	for s := -1; s <= steps; s++ {
		var alive []engine.Placed
		sum := 0
		for _, b := range bufs {
			if b.First <= s && s <= b.Last {
				alive = append(alive, b)
				sum += b.Size
			}
		}
		floor = max(floor, sum)
		sort.Slice(alive, func(i, j int) bool { return alive[i].Off < alive[j].Off })
		for i := 1; i < len(alive); i++ {
			a, b := alive[i-1], alive[i]
			if a.Off+a.Size > b.Off {
				return floor, fmt.Errorf("at step %d %s (%d bytes at %d) and %s (%d bytes at %d) overlap", s, a.What, a.Size, a.Off, b.What, b.Size, b.Off)
			}
		}
	}
	return floor, nil
}

// TestArena holds the arena of all networks to 1.1 times what no placement can go below, and the placement to an independent
// sweep.
func TestArena(t *testing.T) {
	type form struct {
		name string
		m    *model.Model
	}
	for _, c := range []struct {
		name string
		size int // of the pictures in int8; 0: not quantized here
	}{
		{"resnet18", 0}, {"resnet20", 32}, {"mobilenetv1", 0}, {"mobilenetv2", 32}, {"efficientnet-b0", 0}, {"efficientnet-lite0", 0},
		{"squeezenet11", 0}, {"yolov8n", 32}, {"bert-mini", 0}, {"resnet50", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := resized(t, c.name, 0)
			forms := []form{{"as exported", m}, {"optimized", optimized(t, m)}}
			if c.size > 0 {
				forms = append(forms, form{"int8", quantized(t, resized(t, c.name, c.size), nil)})
			}
			if testing.Short() || c.name == "resnet50" {
				forms = forms[1:]
			}
			for _, f := range forms {
				for _, threads := range []int{1, 4} {
					p, err := engine.Compile(context.Background(), f.m, engine.Options{Threads: threads, Features: best(), Small: true})
					if err != nil {
						t.Fatal(err)
					}
					bufs, steps := engine.Arena(p)
					floor, err := sweep(bufs, steps)
					if err != nil {
						t.Errorf("%s, %d threads: %v", f.name, threads, err)
					}
					if float64(p.ArenaBytes) > 1.1*float64(floor) {
						t.Errorf("%s, %d threads: arena of %d bytes, %d are alive at once: %.3f", f.name, threads, p.ArenaBytes, floor, float64(p.ArenaBytes)/float64(floor))
					}
				}
			}
		})
	}
}

// TestBrokenLifetime shortens the life of single buffers: the sweep and the poison must each find it, else they find nothing.
func TestBrokenLifetime(t *testing.T) {
	ctx := context.Background()
	m := optimized(t, resized(t, "mobilenetv2", 32))
	in := inputs(t, m, 1)
	want, err := ops.Evaluate(ctx, m, in)
	if err != nil {
		t.Fatal(err)
	}
	tried, swept, poisoned := 0, 0, 0
	for end := 0; ; end++ {
		p, err := engine.Compile(ctx, m, engine.Options{Threads: 1, Features: best(), Verify: true, Shapes: shapes(in)})
		if err != nil {
			t.Fatal(err)
		}
		if end >= len(p.Steps) {
			break
		}
		broken, err := engine.Shorten(p, end)
		if err != nil {
			t.Fatal(err)
		}
		if !broken {
			continue
		}
		tried++
		if _, err := sweep(engine.Arena(p)); err != nil {
			swept++
		}
		if d, _ := differ(want, runPlan(t, p, in)); d < 0 || d > 1e-3 {
			poisoned++
		}
	}
	if tried < 3 || poisoned != tried {
		t.Errorf("%d lives were cut short, the poison shows %d", tried, poisoned)
	}
	if swept == 0 { // where nobody took the bytes, nothing overlaps
		t.Errorf("%d lives were cut short, the sweep shows none", tried)
	}
}
