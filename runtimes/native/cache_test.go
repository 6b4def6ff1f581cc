package native

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/model/text"
	"fettle/runtimes"
)

// TestReopen prepares a model into a folder, and then gets sessions without it: the same numbers, from mapped weights.
func TestReopen(t *testing.T) {
	ctx := context.Background()
	m, err := text.Parse(net)
	if err != nil {
		t.Fatal(err)
	}
	rt, err := New("")
	if err != nil {
		t.Fatal(err)
	}
	x := model.NewTensor(model.Float32, 1, 3, 8, 8)
	for i := range x.Len() {
		x.SetFloat64(i, math.Cos(float64(i)))
	}
	in := map[string]*model.Tensor{"x": x}
	plain, err := rt.Prepare(ctx, m, runtimes.NewOptions())
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	want, err := runtimes.Run(ctx, plain, in)
	if err != nil || plain.Memory().Prepared {
		t.Fatal(err)
	}
	opt := runtimes.NewOptions()
	opt.Cache, opt.ModelID = filepath.Join(t.TempDir(), "plans"), "sha256:m"
	reads := 0
	read := func() (*model.Model, error) { reads++; return m, nil }
	open := func(opt runtimes.Options) runtimes.Memory {
		t.Helper()
		s, err := runtimes.Open(ctx, rt, opt, read)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		got, err := runtimes.Run(ctx, s, in)
		if err != nil {
			t.Fatal(err)
		}
		if string(got["y"].Raw) != string(want["y"].Raw) {
			t.Error("other numbers")
		}
		return s.Memory()
	}
	if mem := open(opt); !mem.Prepared || reads != 1 {
		t.Errorf("first: %+v, %d reads", mem, reads)
	}
	if mem := open(opt); !mem.Prepared || reads != 1 {
		t.Errorf("again: %+v, %d reads", mem, reads)
	}
	for name, change := range map[string]func(*runtimes.Options){
		"another model": func(o *runtimes.Options) { o.ModelID = "sha256:n" },
		"small":         func(o *runtimes.Options) { o.Pack = "small" },
	} {
		o, before := opt, reads
		change(&o)
		if mem := open(o); reads != before+1 || mem.Small != (name == "small") {
			t.Errorf("%s: %d reads, %+v", name, reads, mem)
		}
	}
	if o := opt; true {
		o.Cache = ""
		if mem := open(o); mem.Prepared {
			t.Error("prepared without a folder")
		}
		o.Cache, o.Pack = opt.Cache, "tiny"
		if _, err := rt.Prepare(ctx, m, o); !fail.Is(err, fail.Usage) {
			t.Errorf("%v", err)
		}
		if _, err := rt.(runtimes.Reopener).Reopen(ctx, o); !fail.Is(err, fail.Usage) {
			t.Errorf("%v", err)
		}
	}
	// A damaged file is thrown away and made again.
	files, err := filepath.Glob(filepath.Join(opt.Cache, "*.fplan"))
	if err != nil || len(files) != 3 {
		t.Fatalf("%v %v", files, err)
	}
	for _, f := range files {
		if err := os.WriteFile(f, []byte("FETTLEPL and then nothing that could be a plan of any kind......."), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := reads
	if mem := open(opt); !mem.Prepared || reads != before+1 {
		t.Errorf("damaged: %+v, %d reads", mem, reads-before)
	}
	if mem := open(opt); !mem.Prepared || reads != before+1 {
		t.Errorf("made again: %+v", mem)
	}
	// A folder that cannot be is no reason to fail.
	o := opt
	o.Cache = filepath.Join(files[0], "inside a file")
	if mem := open(o); mem.Prepared {
		t.Errorf("%+v", mem)
	}
}

func TestTidy(t *testing.T) {
	dir := t.TempDir()
	old := time.Now().Add(-2 * time.Hour)
	touch := func(name string, at time.Time) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
		return path
	}
	dead, alive, other := touch(".fplan-1", old), touch(".fplan-2", time.Now()), touch("notes", old)
	var plans []string
	for i := range keepPlans + 3 {
		plans = append(plans, touch(string(rune('a'+i%26))+string(rune('a'+i/26))+".fplan", old.Add(time.Duration(i)*time.Second)))
	}
	if !tidy(dir, 1000) {
		t.Error("no room for 1000 bytes")
	}
	there := func(p string) bool { _, err := os.Stat(p); return err == nil }
	if there(dead) || !there(alive) || !there(other) {
		t.Error("wrong files were removed")
	}
	for i, p := range plans {
		if there(p) != (i >= 4) { // room for the next one
			t.Errorf("plan %d of %d: %t", i, len(plans), there(p))
		}
	}
	if tidy(dir, keepPlanBytes+1) || there(plans[len(plans)-1]) {
		t.Error("a plan that is larger than the folder may be")
	}
	if tidy(filepath.Join(dir, "none"), 1) {
		t.Error("no folder")
	}
}

func TestFileID(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.onnx")
	if FileID(path) != "" {
		t.Error("a name for no file")
	}
	if err := os.WriteFile(path, []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	if FileID(path) != "" {
		t.Error("a file that was written just now may change again unseen")
	}
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := plainID(st), buildID(); a == "" || b == "" || b == Version {
		t.Errorf("%q %q", a, b)
	}
	if FileID(filepath.Dir(path)) != "" {
		t.Error("a name for a folder")
	}
}
