package quantize

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
)

// memory keeps bytes, and can cut them.
type memoryKeep map[string][]byte

func (k memoryKeep) Get(key string) ([]byte, bool)  { b, ok := k[key]; return b, ok }
func (k memoryKeep) Put(key string, b []byte) error { k[key] = slices.Clone(b); return nil }

// stopped is data that ends the run after some items and counts what was read.
type stopped struct {
	items
	after int
	read  *int
	stop  context.CancelFunc
}

func (d stopped) Each(ctx context.Context, limit int, visit func(int, map[string]*model.Tensor) error) error {
	return d.EachFrom(ctx, 0, limit, visit)
}

func (d stopped) EachFrom(ctx context.Context, first, limit int, visit func(int, map[string]*model.Tensor) error) error {
	return d.items.Each(ctx, limit, func(i int, in map[string]*model.Tensor) error {
		if i < first {
			return nil
		}
		if i == d.after {
			d.stop()
		}
		if err := ctx.Err(); err != nil {
			return fail.From(err)
		}
		*d.read++
		return visit(i, in)
	})
}

// TestCalibrationGoesOn: one that was stopped reads only the items that are left, and ends with the same histograms; one whose record
// was damaged or belongs to other data begins anew.
func TestCalibrationGoesOn(t *testing.T) {
	m := parse(t, net)
	in, err := optimizer.RandomInputs(m, 12, 3)
	if err != nil {
		t.Fatal(err)
	}
	sel, err := selectNodes(&optimizer.Env{}, m, *New().Options().(*Options), plan{})
	if err != nil {
		t.Fatal(err)
	}
	want, err := calibrate(context.Background(), &optimizer.Env{Data: items(in)}, m, sel, 12)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	read := 0
	keep := memoryKeep{}
	r := &ranges{sel: sel, groups: map[string]*histogram{}}
	// As a kill leaves it: the record of the first 5 items.
	first, err := calibrate(ctx, &optimizer.Env{Data: items(in[:5])}, m, sel, 12)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	for v := range sel.group {
		values = append(values, v)
	}
	slices.Sort(values)
	env := &optimizer.Env{Data: stopped{items(in), 9, &read, stop}, Keep: keep}
	key := r.progress(env, m, values, 12).key
	keep[key] = encodeRanges(first.groups, 5)
	if _, err := calibrate(ctx, env, m, sel, 12); !fail.Is(err, fail.Cancelled) || read != 4 {
		t.Fatalf("%v after %d items", err, read)
	}
	env.Data = stopped{items(in), 99, &read, stop}
	read = 0
	got, err := calibrate(context.Background(), env, m, sel, 12)
	if err != nil {
		t.Fatal(err)
	}
	if read != 7 {
		t.Errorf("%d items were read, 7 were left", read)
	}
	same := func(a, b *histogram) bool { return *a == *b }
	if !maps.EqualFunc(want.groups, got.groups, same) {
		t.Error("other histograms than in one go")
	}
	read = 0
	if got, err = calibrate(context.Background(), env, m, sel, 12); err != nil || read != 0 || !maps.EqualFunc(want.groups, got.groups, same) {
		t.Errorf("a finished one read %d items again (%v)", read, err)
	}
	for name, damage := range map[string]func([]byte) []byte{
		"cut":     func(b []byte) []byte { return b[:len(b)/2] },
		"flipped": func(b []byte) []byte { b[len(b)/3] ^= 4; return b },
		"empty":   func([]byte) []byte { return nil },
	} {
		read, keep[key] = 0, damage(slices.Clone(encodeRanges(want.groups, 12)))
		if got, err = calibrate(context.Background(), env, m, sel, 12); err != nil || read != 12 || !maps.EqualFunc(want.groups, got.groups, same) {
			t.Errorf("%s record: %d items read (%v)", name, read, err)
		}
	}
	if other := r.progress(&optimizer.Env{Data: items(in), Keep: keep}, parse(t, fragile), values, 12).key; other == key {
		t.Error("another model has the same record")
	}
}

// TestCancelIsQuick: whatever the pass is doing, it ends soon after it is told to.
func TestCancelIsQuick(t *testing.T) {
	m := parse(t, net)
	for _, o := range []map[string]any{{"rounding": "gptq"}, {"rounding": "adaround", "rounds": 20000}, {"max_drop": 0.0}, {"weights": "mixed", "activations": "none"}} {
		for _, after := range []time.Duration{0, 5 * time.Millisecond, 40 * time.Millisecond} {
			p := New()
			decode(t, p, o)
			in, _ := optimizer.RandomInputs(m, 64, 3)
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(after, cancel)
			begin := time.Now()
			_, _, err := p.Apply(ctx, &optimizer.Env{Data: items(in)}, m)
			if took := time.Since(begin) - after; took > time.Second {
				t.Errorf("%v: %v after the cancellation (%v)", o, took, err)
			}
			cancel()
		}
	}
}
