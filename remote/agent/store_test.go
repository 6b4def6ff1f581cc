package agent

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"fettle/internal/cas"
	"fettle/internal/chaos"
	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/remote/bundle"
	"fettle/remote/wire"
)

// disk makes a chaos.Disk the store's disk. The zero value of the rest is a right disk; each of them leaves out one
// thing that makes a power cut harmless.
type disk struct {
	*chaos.Disk
	noSync, noDirSync, noRename bool
}

func (d disk) CreateTemp(dir, pattern string) (cas.File, error) {
	f, err := d.Disk.CreateTemp(dir, pattern)
	if err != nil {
		return nil, err
	}
	return file{f, d.noSync}, nil
}

func (d disk) SyncDir(dir string) error {
	if d.noDirSync {
		return nil
	}
	return d.Disk.SyncDir(dir)
}

// Rename copies in place where noRename is set: what a writer without a temporary file does.
func (d disk) Rename(from, to string) error {
	if !d.noRename {
		return d.Disk.Rename(from, to)
	}
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	defer f.Close()
	for len(b) > 0 { // in pieces, each of which may be the last before the power goes
		if err := d.Disk.SyncDir(filepath.Dir(to)); err != nil {
			return err
		}
		n := min(len(b), 100)
		if _, err := f.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return os.Remove(from)
}

type file struct {
	*chaos.DiskFile
	noSync bool
}

func (f file) Sync() error {
	if f.noSync {
		return nil
	}
	return f.DiskFile.Sync()
}

// calm is a disk without faults that flushes nothing: tests prepare stores on it, and real flushes take long.
func calm() cas.FS { return disk{Disk: chaos.NewDisk(-1)} }

// version is a deployable of five chunks; two of them differ between versions.
func version(t *testing.T, v uint64) *bundle.Bundle {
	t.Helper()
	data := make([]byte, 5000)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	data[10], data[4500] = byte(v), byte(v)
	var spans []bundle.Span
	for at := int64(0); at < 5000; at += 1000 {
		spans = append(spans, bundle.Span{Offset: at, Len: 1000})
	}
	b, err := bundle.FromSpans("net", data, spans)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// deploy does what a desk makes the agent do.
func deploy(s *Store, b *bundle.Bundle) error {
	var all []wire.Chunk
	for _, c := range b.Chunks {
		all = append(all, wire.Chunk{SHA256: string(c.SHA256), Len: c.Len})
	}
	var missing []wire.Chunk
	var bytesOf []io.Reader
	for _, i := range s.Missing(all) {
		missing = append(missing, all[i])
		bytesOf = append(bytesOf, bytes.NewReader(b.Bytes(i)))
	}
	if _, err := s.Put(missing, io.MultiReader(bytesOf...)); err != nil {
		return err
	}
	raw, _, err := b.Encode()
	if err != nil {
		return err
	}
	// as the agent does it: signed with a number, and with a trial in between
	board, last := s.counted()
	_, err = s.install(raw, testKey().SignFor(board, last+1, raw), func(*bundle.Manifest, int, int) error {
		return s.setTrial(b.Name, trial{2, trialHealth})
	})
	return err
}

// testKey signs what the tests deploy.
var testKey = sync.OnceValue(func() *bundle.Key {
	k, err := bundle.NewKey()
	if err != nil {
		panic(err)
	}
	return k
})

// after looks at the folder as an agent that starts after the cut: it gives the version that is active, 0 for none.
func after(dir string, versions ...*bundle.Bundle) (int, error) {
	s, err := OpenStore(dir, calm())
	if err != nil {
		return 0, err
	}
	m, err := s.Active("net")
	if fail.Is(err, fail.NotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	b, err := s.File(m)
	if err != nil {
		return 0, err
	}
	for i, v := range versions {
		if cas.Of(b) == v.SHA256 {
			return i + 1, nil
		}
	}
	return 0, fmt.Errorf("the active version is none that was deployed")
}

// crash deploys the second version over the first on a disk that loses power before operation n, and looks at it.
func crash(t *testing.T, n int, broken disk) (active, ops int, done bool, err error) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	one, two := version(t, 1), version(t, 2)
	s, err := OpenStore(dir, calm())
	if err != nil {
		t.Fatal(err)
	}
	if err := deploy(s, one); err != nil {
		t.Fatal(err)
	}
	broken.Disk = chaos.NewDisk(n)
	s, err = OpenStore(dir, broken)
	if err == nil {
		err = deploy(s, two)
	}
	done = err == nil
	if !done && n < 0 {
		t.Fatal(err)
	}
	ops = broken.Disk.Ops()
	if err := broken.PowerCut(); err != nil {
		t.Fatal(err)
	}
	active, err = after(dir, one, two)
	return active, ops, done, err
}

// TestPowerCut cuts the power before every operation of a deployment: the version before or the new one is there,
// whole; the new one if the agent had said so; and deploying again works.
func TestPowerCut(t *testing.T) {
	_, ops, _, _ := crash(t, -1, disk{})
	if ops < 15 {
		t.Fatalf("a deployment has %d operations; the test sees too little", ops)
	}
	seen := map[int]int{}
	for n := 0; n <= ops; n++ {
		active, _, done, err := crash(t, n, disk{})
		if err != nil || active == 0 || done && active != 2 {
			t.Errorf("power cut before operation %d of %d: version %d is active, reported done %v, %v", n, ops, active, done, err)
		}
		seen[active]++
	}
	if seen[1] == 0 || seen[2] == 0 {
		t.Errorf("versions seen after the cuts: %v; both should be", seen)
	}
}

// TestPowerCutControl breaks the rules one at a time. The test above would have to see each of them, or it proves nothing.
func TestPowerCutControl(t *testing.T) {
	for _, c := range []struct {
		name   string
		broken disk
	}{
		{"no flush of files", disk{noSync: true}},
		{"no flush of folders", disk{noDirSync: true}},
		{"no rename", disk{noRename: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, ops, _, _ := crash(t, -1, c.broken)
			bad := 0
			for n := 0; n <= ops; n++ {
				active, _, done, err := crash(t, n, c.broken)
				if err != nil || active == 0 || done && active != 2 {
					bad++
				}
			}
			if bad == 0 {
				t.Error("no power cut did any harm, so the test is blind")
			}
			t.Logf("%d of %d power cuts did harm", bad, ops+1)
		})
	}
}

// TestFirstPowerCut is the same for a board that had nothing.
func TestFirstPowerCut(t *testing.T) {
	one := version(t, 1)
	for n := 0; ; n++ {
		dir := filepath.Join(t.TempDir(), "store")
		d := disk{Disk: chaos.NewDisk(n)}
		s, err := OpenStore(dir, d)
		if err == nil {
			err = deploy(s, one)
		}
		if perr := d.PowerCut(); perr != nil {
			t.Fatal(perr)
		}
		active, lerr := after(dir, one)
		if lerr != nil || err == nil && active != 1 {
			t.Fatalf("power cut before operation %d: version %d is active, deployed: %v, %v", n, active, err, lerr)
		}
		if err == nil {
			break
		}
		s, oerr := OpenStore(dir, calm())
		if oerr != nil {
			t.Fatal(oerr)
		}
		if err := deploy(s, one); err != nil {
			t.Fatalf("deploying again after a cut before operation %d: %v", n, err)
		}
	}
}

// TestFullDisk fills the disk after every 250 bytes: a typed error, the version before stays.
func TestFullDisk(t *testing.T) {
	one, two := version(t, 1), version(t, 2)
	refused := 0
	for full := int64(1); full < 4000; full += 250 {
		dir := filepath.Join(t.TempDir(), "store")
		s, err := OpenStore(dir, calm())
		if err != nil {
			t.Fatal(err)
		}
		if err := deploy(s, one); err != nil {
			t.Fatal(err)
		}
		d := disk{Disk: chaos.NewDisk(-1)}
		d.Full = full
		if s, err = OpenStore(dir, d); err != nil {
			t.Fatal(err)
		}
		want := 2
		if err := deploy(s, two); err != nil {
			want = 1
			refused++
			if !fail.Is(err, fail.NoSpace) || fail.From(err).Fix == "" {
				t.Errorf("full after %d bytes: %v", full, err)
			}
		}
		if active, err := after(dir, one, two); err != nil || active != want {
			t.Errorf("full after %d bytes: version %d, %v", full, active, err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "chunks", "tmp", "*")); want == 1 && len(left) > 0 {
			t.Errorf("full after %d bytes: %v is left over", full, left)
		}
	}
	if refused < 5 {
		t.Errorf("only %d of the disks were full", refused)
	}
}

// TestFullAtEveryWrite has no room from the n-th write on, for every n: a typed error, the version before stays, nothing half
// stays in its place, and with room again the same deployment goes through.
func TestFullAtEveryWrite(t *testing.T) {
	one, two := version(t, 1), version(t, 2)
	run := func(n int) (active, writes int, done bool, err error) {
		dir := filepath.Join(t.TempDir(), "store")
		s, err := OpenStore(dir, calm())
		if err != nil {
			t.Fatal(err)
		}
		if err := deploy(s, one); err != nil {
			t.Fatal(err)
		}
		broken := disk{Disk: chaos.NewDisk(-1)}
		broken.FullWrite = n
		if s, err = OpenStore(dir, broken); err != nil {
			t.Fatal(err)
		}
		derr := deploy(s, two)
		if derr != nil && (!fail.Is(derr, fail.NoSpace) || fail.From(derr).Fix == "") {
			t.Errorf("full at write %d: %v", n, derr)
		}
		if active, err = after(dir, one, two); err != nil {
			return active, broken.Disk.Writes(), derr == nil, err
		}
		s, serr := OpenStore(dir, calm())
		if serr == nil {
			serr = deploy(s, two)
		}
		if v, aerr := after(dir, one, two); serr != nil || aerr != nil || v != 2 {
			t.Errorf("full at write %d, with room again: version %d, %v, %v", n, v, serr, aerr)
		}
		return active, broken.Disk.Writes(), derr == nil, nil
	}
	_, writes, _, _ := run(0)
	if writes < 6 {
		t.Fatalf("a deployment has %d writes; the test sees too little", writes)
	}
	for n := 1; n <= writes; n++ {
		active, _, done, err := run(n)
		if err != nil || active == 0 || done && active != 2 {
			t.Errorf("full at write %d of %d: version %d is active, reported done %v, %v", n, writes, active, done, err)
		}
	}
	t.Logf("full at each of %d writes", writes)
}

// TestBadStorage flips a bit of a chunk: nothing of it is ever given out, and deploying again sends it again.
func TestBadStorage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	one, two := version(t, 1), version(t, 2)
	s, err := OpenStore(dir, calm())
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range []*bundle.Bundle{one, two} {
		if err := deploy(s, b); err != nil {
			t.Fatal(err)
		}
	}
	h := string(one.Chunks[0].SHA256) // only version 1 has it
	path := filepath.Join(dir, "chunks", h[:2], h)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[7] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Rollback("net"); !fail.Is(err, fail.Corrupt) {
		t.Errorf("rolling back to a damaged version gives %v", err)
	}
	if active, err := after(dir, one, two); err != nil || active != 2 {
		t.Errorf("version %d is active, %v", active, err)
	}
	if err := deploy(s, one); err != nil {
		t.Fatal(err)
	}
	if active, err := after(dir, one, two); err != nil || active != 1 {
		t.Errorf("version %d is active, %v", active, err)
	}
}

func TestVersionsAndOrphans(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s, err := OpenStore(dir, calm())
	if err != nil {
		t.Fatal(err)
	}
	for v := range uint64(9) {
		if err := deploy(s, version(t, v)); err != nil {
			t.Fatal(err)
		}
	}
	vs, err := s.versions("net")
	if err != nil || len(vs) != keepVersions || vs[len(vs)-1] != 9 {
		t.Errorf("versions %v, %v", vs, err)
	}
	keep := map[cas.Hash]bool{cas.Of([]byte("x")): true}
	before := count(t, dir)
	if err := s.chunks.Put(cas.Of([]byte("x")), 1, strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.gc(keep, 0); err != nil {
		t.Fatal(err)
	}
	// versions 5 to 9 share three chunks and have two of their own each
	if n := count(t, dir); n != 3+2*keepVersions+1 {
		t.Errorf("%d chunks stay of %d", n, before)
	}
	if _, err := s.gc(nil, busyAge); err != nil || count(t, dir) != 3+2*keepVersions+1 {
		t.Errorf("a young chunk that another desk may need was removed, %v", err)
	}
	if _, err := s.Remove("net"); err != nil {
		t.Fatal(err)
	}
	if err := deploy(s, version(t, 1)); err != nil {
		t.Errorf("deploying after removal: %v", err)
	}
}

func count(t *testing.T, dir string) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "chunks", "??", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// TestTraps opens stores that somebody else may have prepared.
func TestTraps(t *testing.T) {
	cases := []struct {
		name string
		make func(dir string) error
		want fail.Kind
	}{
		{"new", func(string) error { return nil }, ""},
		{"a link", func(dir string) error { return os.Symlink(t.TempDir(), dir) }, fail.Denied},
		{"writable for others", func(dir string) error { return os.Mkdir(dir, 0o777) }, fail.Denied},
		{"a file", func(dir string) error { return os.WriteFile(dir, nil, 0o600) }, "any"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			if err := c.make(dir); err != nil {
				t.Fatal(err)
			}
			if c.name == "writable for others" {
				if err := os.Chmod(dir, 0o777); err != nil {
					t.Fatal(err)
				}
			}
			_, err := OpenStore(dir, calm())
			if got := fail.KindOf(err); got != c.want && (c.want != "any" || err == nil) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestCommitChecks commits what is not whole on the board: it is refused, and the version before stays.
func TestCommitChecks(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(path string) error
		want   fail.Kind
	}{
		{"a chunk is missing", os.Remove, fail.NotFound},
		{"a chunk has other bytes", func(p string) error { return os.WriteFile(p, make([]byte, 1000), 0o600) }, fail.Corrupt},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			one, two := version(t, 1), version(t, 2)
			s, err := OpenStore(dir, calm())
			if err != nil {
				t.Fatal(err)
			}
			if err := deploy(s, one); err != nil {
				t.Fatal(err)
			}
			for i, ch := range two.Chunks {
				if err := s.chunks.Put(ch.SHA256, ch.Len, bytes.NewReader(two.Bytes(i))); err != nil {
					t.Fatal(err)
				}
			}
			h := string(two.Chunks[0].SHA256)
			if err := c.damage(filepath.Join(dir, "chunks", h[:2], h)); err != nil {
				t.Fatal(err)
			}
			raw, _, err := two.Encode()
			if err != nil {
				t.Fatal(err)
			}
			board, last := s.counted()
			if _, err := s.Commit(raw, testKey().SignFor(board, last+1, raw)); !fail.Is(err, c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if active, err := after(dir, one, two); err != nil || active != 1 {
				t.Errorf("version %d is active, %v", active, err)
			}
		})
	}
}

// TestLittleRoom asks for more than fits: it is refused before anything is sent, old orphans go, and what had arrived of
// this very deployment stays.
func TestLittleRoom(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	a, err := New(Config{Version: "test"}, dir)
	if err != nil {
		t.Fatal(err)
	}
	free, ok := cas.Free(dir)
	if !ok {
		t.Skip("this system does not say how much is free")
	}
	var have wire.Have
	for _, text := range []string{"arrived", "orphan"} {
		h := cas.Of([]byte(text))
		if err := a.store.chunks.Put(h, int64(len(text)), strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		when := time.Now().Add(-time.Hour)
		if err := os.Chtimes(filepath.Join(dir, "chunks", string(h[:2]), string(h)), when, when); err != nil {
			t.Fatal(err)
		}
		if text == "arrived" {
			have.Chunks = append(have.Chunks, wire.Chunk{SHA256: string(h), Len: int64(len(text))})
		}
	}
	for n := int64(0); n <= free; n += 1 << 30 {
		have.Chunks = append(have.Chunks, wire.Chunk{SHA256: string(cas.Of(fmt.Append(nil, n))), Len: 1 << 30})
	}
	desk, far := net.Pipe()
	g := task.NewGroup(t.Context())
	g.Go("serve", func(ctx context.Context) error { return a.Serve(ctx, far) })
	c, err := wire.NewClient(t.Context(), desk, wire.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Do(t.Context(), wire.VerbHave, have, nil); !fail.Is(err, fail.NoSpace) || fail.From(err).Fix == "" {
		t.Errorf("got %v", err)
	}
	c.Close()
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	if !a.store.chunks.Has(cas.Of([]byte("arrived")), 7) {
		t.Error("what had arrived of this deployment was removed")
	}
	if a.store.chunks.Has(cas.Of([]byte("orphan")), 6) {
		t.Error("an old orphan was kept although room is needed")
	}
}
