package history

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fettle/internal/fail"
	"fettle/profiler"
	"fettle/profiler/trace"
)

// childEnv makes this test program the writer of TestKilledWriter.
const childEnv = "FETTLE_HISTORY_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		child(path)
		return
	}
	goleak.VerifyTestMain(m)
}

func run(i int) (*profiler.Profile, []byte) {
	p50 := 1e6 + float64(i)
	p := &profiler.Profile{Schema: trace.Schema, TakenUnix: int64(1000 + i), Model: trace.Model{Name: fmt.Sprintf("net%d", i%3), SHA256: "aa"},
		Target: trace.Target{Name: "local"}, Runtime: trace.Runtime{Name: "fettle"}, Complete: true,
		Clean: profiler.Clean{N: 3, P50Ns: &p50, SamplesNs: []int64{1, 2, int64(i)}}, Conditions: profiler.Conditions{Seal: profiler.Green}}
	return p, bytes.Repeat([]byte(fmt.Sprintf("{\"launch\":%d}\n", i)), 300)
}

func open(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func put(t *testing.T, s *Store, i int) string {
	t.Helper()
	p, tr := run(i)
	id, err := s.Put(t.Context(), p, tr)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b%20?", "history.db") // a name that a careless URL would break
	s := open(t, path)
	ctx := t.Context()
	id := put(t, s, 1)
	if again := put(t, s, 1); again != id {
		t.Errorf("the same run has the ids %s and %s", id, again)
	}
	put(t, s, 2)
	put(t, s, 3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("file: %v %v", fi, err)
	}
	s = open(t, path)
	got, err := s.Get(ctx, id[:6])
	if err != nil {
		t.Fatal(err)
	}
	want, wantTrace := run(1)
	want.ID = id
	a, _ := json.Marshal(got)
	b, _ := json.Marshal(want)
	if string(a) != string(b) {
		t.Errorf("got  %s\nwant %s", a, b)
	}
	if tr, err := s.Trace(ctx, id); err != nil || !bytes.Equal(tr, wantTrace) {
		t.Errorf("trace: %d bytes, %v", len(tr), err)
	}
	for _, c := range []struct {
		name string
		f    Filter
		want string
	}{
		{"all, newest first", Filter{}, "3 2 1"},
		{"limit", Filter{Limit: 2}, "3 2"},
		{"model", Filter{Model: "net1"}, "1"},
		{"since", Filter{Since: 1002}, "3 2"},
		{"none", Filter{Target: "board"}, ""},
	} {
		rows, err := s.List(ctx, c.f)
		if err != nil {
			t.Fatal(err)
		}
		var at []string
		for _, r := range rows {
			if r.Damaged != nil || r.P50Ns == nil || r.Seal != profiler.Green {
				t.Errorf("%+v", r)
			}
			at = append(at, fmt.Sprint(r.TakenUnix-1000))
		}
		if got := strings.Join(at, " "); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if err := s.Delete(ctx, id); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(ctx, id); !fail.Is(err, fail.NotFound) {
		t.Errorf("after deletion: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "h.db"))
	ctx := t.Context()
	put(t, s, 1)
	for _, id := range []string{"", "no such", "0; DROP TABLE runs", "ffffffffffff0", "%"} {
		if _, err := s.Get(ctx, id); !fail.Is(err, fail.NotFound) {
			t.Errorf("Get(%q): %v", id, err)
		}
		if err := s.Delete(ctx, id); !fail.Is(err, fail.NotFound) {
			t.Errorf("Delete(%q): %v", id, err)
		}
	}
	stopped, cancel := context.WithCancel(ctx)
	cancel()
	p, tr := run(5)
	if _, err := s.Put(stopped, p, tr); !fail.Is(err, fail.Cancelled) {
		t.Errorf("cancelled: %v", err)
	}
	s.Close()
	if _, err := s.Put(ctx, p, tr); err == nil {
		t.Error("kept after Close")
	}
}

func TestCannotWrite(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	paths := []string{filepath.Join(plain, "history.db"), dir, "/proc/fettle/history.db"}
	if os.Getuid() != 0 {
		locked := filepath.Join(dir, "locked")
		if err := os.Mkdir(locked, 0o500); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, filepath.Join(locked, "history.db"))
	}
	for _, path := range paths {
		_, err := Open(path)
		if !fail.Is(err, fail.Denied) || !strings.Contains(err.Error(), "FETTLE_HOME") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestForeignAndNewerFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h.db")
	if err := os.WriteFile(path, bytes.Repeat([]byte("not a database "), 400), 0o600); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	if _, err := Open(path); !fail.Is(err, fail.Corrupt) {
		t.Errorf("text file: %v", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the foreign file was changed")
	}
	to, err := SetAside(path)
	if err != nil {
		t.Fatal(err)
	}
	if kept, _ := os.ReadFile(to); !bytes.Equal(before, kept) {
		t.Error("the damaged file was not kept as it was")
	}
	s := open(t, path)
	put(t, s, 1)
	if _, err := s.write.Exec("PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := Open(path); !fail.Is(err, fail.Unsupported) {
		t.Errorf("newer file: %v", err)
	}
}

// A row that says something else than was written is named, and the others are read.
func TestDamagedRowsDoNotStopTheRest(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "h.db"))
	ctx := t.Context()
	ids := []string{put(t, s, 1), put(t, s, 2), put(t, s, 3)}
	for _, q := range []string{
		"UPDATE runs SET p50_ns = p50_ns + 1 WHERE id = '" + ids[0] + "'",
		"UPDATE runs SET profile = replace(profile, '1000002', '1000009') WHERE id = '" + ids[1] + "'",
		"UPDATE runs SET taken_unix = 'yesterday' WHERE id = '" + ids[2] + "'",
	} {
		if _, err := s.write.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	good := put(t, s, 4)
	rows, err := s.List(ctx, Filter{})
	if err != nil || len(rows) != 4 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for _, r := range rows {
		want := r.ID == ids[0] || r.ID == ids[2]
		if fail.Is(r.Damaged, fail.Corrupt) != want {
			t.Errorf("row %s: %v", r.ID, r.Damaged)
		}
	}
	if _, err := s.Get(ctx, ids[1]); !fail.Is(err, fail.Corrupt) {
		t.Errorf("changed profile: %v", err)
	}
	if _, err := s.Trace(ctx, ids[1]); !fail.Is(err, fail.Corrupt) {
		t.Errorf("trace of a changed profile: %v", err)
	}
	if _, err := s.Get(ctx, good); err != nil {
		t.Error(err)
	}
}

// A flipped bit anywhere gives the run as it was written, or a typed error; never another run, never a panic.
func TestFlippedBits(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "h.db")
	s := open(t, path)
	want := map[string]string{}
	for i := range 8 {
		id := put(t, s, i)
		p, err := s.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := json.Marshal(p)
		want[id] = string(b)
	}
	s.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	refused, missing := 0, 0
	for trial := range 150 {
		b := bytes.Clone(whole)
		at := rng.IntN(len(b))
		if trial%2 == 0 {
			at = rng.IntN(8192) // the head, the schema and the first page of the index are what breaks most
		}
		b[at] ^= 1 << rng.IntN(8)
		file := filepath.Join(dir, fmt.Sprint(trial), "h.db")
		os.Mkdir(filepath.Dir(file), 0o700)
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(file)
		if err != nil {
			refused++
			if k := fail.KindOf(err); k != fail.Corrupt && k != fail.Unsupported && k != fail.Denied {
				t.Errorf("offset %d: open: %s: %v", at, k, err)
			}
			continue
		}
		if _, err := s.List(t.Context(), Filter{}); err != nil && !fail.Is(err, fail.Corrupt) {
			t.Errorf("offset %d: list: %v", at, err)
		}
		for id, w := range want {
			p, err := s.Get(t.Context(), id)
			if err != nil {
				missing++
				if k := fail.KindOf(err); k != fail.Corrupt && k != fail.NotFound {
					t.Errorf("offset %d: get: %s: %v", at, k, err)
				}
				continue
			}
			if got, _ := json.Marshal(p); string(got) != w {
				t.Errorf("offset %d: another run came back: %s", at, got)
			}
		}
		s.Close()
	}
	if refused+missing == 0 {
		t.Error("no flip was noticed: the test flips nothing that matters")
	}
	t.Logf("%d files refused, %d runs lost of %d", refused, missing, 150*8)
}

// Two processes' worth of stores write and read the same file at once.
func TestTwoStores(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h.db")
	a, b := open(t, path), open(t, path)
	var wg sync.WaitGroup
	for k, s := range []*Store{a, b} {
		wg.Go(func() {
			for i := range 20 {
				p, tr := run(100*k + i)
				if _, err := s.Put(context.Background(), p, tr); err != nil {
					t.Error(err)
				}
				if _, err := s.List(context.Background(), Filter{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if rows, err := a.List(t.Context(), Filter{}); err != nil || len(rows) != 40 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}

func child(path string) {
	s, err := Open(path)
	if err != nil {
		fmt.Println("error", err)
		return
	}
	for i := 0; ; i++ {
		p, tr := run(i)
		id, err := s.Put(context.Background(), p, tr)
		if err != nil {
			fmt.Println("error", err)
			return
		}
		fmt.Println(id) // acknowledged
	}
}

// What was acknowledged before kill -9 is there afterwards.
func TestKilledWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h.db")
	self, err := os.Executable()
	if err != nil {
		t.Skip(err)
	}
	acked := map[string]bool{}
	for round := range 4 {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), childEnv+"="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(150+60*round)*time.Millisecond, func() { cmd.Process.Kill() })
		for sc := bufio.NewScanner(out); sc.Scan(); {
			if id := sc.Text(); len(id) == idLength {
				acked[id] = true
			} else if strings.HasPrefix(id, "error") {
				t.Fatal(id)
			}
		}
		cmd.Wait()
		timer.Stop()
		s, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		for id := range acked {
			if _, err := s.Get(t.Context(), id); err != nil {
				t.Errorf("round %d: acknowledged run lost: %v", round, err)
			}
		}
		var verdict string
		if err := s.read.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
			t.Errorf("integrity: %q %v", verdict, err)
		}
		s.Close()
	}
	if len(acked) == 0 {
		t.Error("the child acknowledged nothing")
	}
	t.Logf("%d acknowledged", len(acked))
}

// While another process writes without pause, this one reads and writes.
func TestSecondProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h.db")
	self, err := os.Executable()
	if err != nil {
		t.Skip(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childEnv+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	next := func() string {
		if !lines.Scan() {
			t.Fatal("the other process ended")
		}
		return lines.Text()
	}
	theirs := next()
	s := open(t, path)
	for i := range 10 {
		put(t, s, 1_000_000+i)
		next() // it goes on too
	}
	if _, err := s.Get(t.Context(), theirs); err != nil {
		t.Errorf("their run: %v", err)
	}
	if rows, err := s.List(t.Context(), Filter{}); err != nil || len(rows) < 21 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
	cmd.Process.Kill()
	for lines.Scan() { // until its end of the pipe closes
	}
	cmd.Wait()
}
