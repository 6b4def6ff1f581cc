package deploy

import (
	"os"
	"path/filepath"
	"testing"

	"fettle/internal/fail"
)

// TestPreparedPlan: the first run of a model leaves a prepared plan on the board; later ones need neither the model's chunks
// nor packing, and a plan that was damaged or unwanted is not used.
func TestPreparedPlan(t *testing.T) {
	home := t.TempDir()
	c := local(t, home)
	b := net(t, "net", 0)
	if _, err := c.Push(t.Context(), b, nil); err != nil {
		t.Fatal(err)
	}
	plans := func() []string {
		l, err := filepath.Glob(filepath.Join(home, "store", "plans", "*"))
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	fresh, err := c.Run(t.Context(), Deployed("net"), How{Fresh: true}, nil)
	if err != nil || len(plans()) != 0 {
		t.Fatalf("%v, %d plans though none was wanted", err, len(plans()))
	}
	first, err := c.Run(t.Context(), Deployed("net"), How{}, nil)
	if err != nil || len(plans()) != 1 {
		t.Fatalf("%v, %d plans", err, len(plans()))
	}
	h := string(b.Chunks[len(b.Chunks)-1].SHA256)
	if err := os.Truncate(filepath.Join(home, "store", "chunks", h[:2], h), 1); err != nil {
		t.Fatal(err)
	}
	again, err := c.Run(t.Context(), Deployed("net"), How{Threads: 2}, nil)
	if err != nil {
		t.Fatalf("the plan is there, the model's chunks are not needed: %v", err)
	}
	for name, x := range fresh.Outputs {
		if string(x.Raw) != string(first.Outputs[name].Raw) || string(x.Raw) != string(again.Outputs[name].Raw) {
			t.Errorf("%s differs", name)
		}
	}
	if _, err := c.Run(t.Context(), Deployed("net"), How{Fresh: true}, nil); !fail.Is(err, fail.Corrupt) {
		t.Errorf("fresh: %v", err)
	}
	if _, err := c.Run(t.Context(), Deployed("net"), How{Pack: "tiny"}, nil); !fail.Is(err, fail.Usage) {
		t.Errorf("an unknown way to pack: %v", err)
	}
	if _, err := c.Push(t.Context(), b, nil); err != nil {
		t.Fatal(err)
	}
	for _, p := range plans() {
		if err := os.Truncate(p, 5000); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Run(t.Context(), Deployed("net"), How{}, nil); err != nil {
		t.Errorf("a cut plan must be made again: %v", err)
	}
	if _, err := c.Run(t.Context(), Deployed("net"), How{Pack: "small"}, nil); err != nil || len(plans()) != 2 {
		t.Errorf("%v, %d plans", err, len(plans()))
	}
	if _, err := c.Remove(t.Context(), "net"); err != nil || len(plans()) != 0 {
		t.Errorf("%v: %d plans stay behind", err, len(plans()))
	}
}
