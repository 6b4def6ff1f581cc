package agent

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"fettle/internal/cas"
	"fettle/internal/chaos"
	"fettle/remote/bundle"
)

// logged is a disk that writes down what is done to it.
type logged struct{ *chaos.Log }

func (d logged) CreateTemp(dir, pattern string) (cas.File, error) {
	return d.Log.CreateTemp(dir, pattern)
}
func (d logged) MkdirAll(dir string, perm fs.FileMode) error { return d.Log.MkdirAll(dir, perm) }

// scene is a deployment that was logged: version `want` over `before`, 0 for an empty board.
type scene struct {
	name   string
	log    *chaos.Log
	before int
	want   int
	all    []*bundle.Bundle
	first  int64 // number of the last signature that was taken before
	number int64 // and afterwards
}

// small is a deployable of two chunks, of which one is another in each version.
func small(t *testing.T, v byte) *bundle.Bundle {
	t.Helper()
	data := bytes.Repeat([]byte("fettle"), 100)
	data[0] = v
	b, err := bundle.FromSpans("net", data, []bundle.Span{{Offset: 0, Len: 300}, {Offset: 300, Len: 300}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// scenes are a first deployment, one over another, and a way back.
func scenes(t *testing.T) []scene {
	t.Helper()
	one, two := small(t, 1), small(t, 2)
	all := []*bundle.Bundle{one, two}
	record := func(name string, before, want int, prepare func(s *Store) error, do func(s *Store) error) scene {
		home := t.TempDir()
		dir := filepath.Join(home, "store")
		if prepare != nil {
			s, err := OpenStore(dir, calm())
			if err == nil {
				err = prepare(s)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		log, err := chaos.NewLog(home)
		if err != nil {
			t.Fatal(err)
		}
		s, err := OpenStore(dir, logged{log})
		if err != nil {
			t.Fatal(err)
		}
		first := int64(0)
		if before > 0 {
			_, first = s.counted()
		}
		err = do(s)
		if err != nil {
			t.Fatal(err)
		}
		log.Mark()
		_, number := s.counted()
		return scene{name, log, before, want, all, first, number}
	}
	return []scene{
		record("the first deployment", 0, 1, nil, func(s *Store) error { return deploy(s, one) }),
		record("a deployment over another", 1, 2, func(s *Store) error { return deploy(s, one) }, func(s *Store) error { return deploy(s, two) }),
		record("a way back", 2, 1, func(s *Store) error {
			if err := deploy(s, one); err != nil {
				return err
			}
			return deploy(s, two)
		}, func(s *Store) error { _, err := s.Rollback("net"); return err }),
	}
}

// holds looks at a folder as an agent that starts after the cut. What was promised is there, else what was before or what was under way; nothing is half
// there, the key of the desk is still known where a version of it is active, and a number that was used by it is not taken again.
func (c scene) holds(dir string, done bool) error {
	store := filepath.Join(dir, "store")
	active, err := after(store, c.all...)
	switch {
	case err != nil:
		return err
	case done && active != c.want:
		return fmt.Errorf("version %d was promised, %d is active", c.want, active)
	case active != c.before && active != c.want:
		return fmt.Errorf("version %d is active", active)
	case active == 0:
		return nil
	}
	s, err := OpenStore(store, calm())
	if err != nil {
		return err
	}
	if keys, err := s.Trusted(); err != nil || !slices.Contains(keys, testKey().Public()) {
		return fmt.Errorf("the key of version %d is not known: %v, %v", active, keys, err)
	}
	used := c.first
	if active == c.want {
		used = c.number
	}
	if _, last := s.counted(); last < used {
		return fmt.Errorf("number %d would be taken again: the last is %d", used, last)
	}
	return nil
}

// power looks at all states of a log and gives those that do not hold; again deploys on each that does. Results of equal states are kept.
type power struct {
	t    *testing.T
	c    scene
	kept map[string]error
	room string // for states, in memory where there is such a place
}

func newPower(t *testing.T, c scene) *power {
	room, err := os.MkdirTemp("/dev/shm", "fettle-states-")
	if err != nil {
		return &power{t, c, map[string]error{}, t.TempDir()}
	}
	t.Cleanup(func() { os.RemoveAll(room) })
	return &power{t, c, map[string]error{}, room}
}

func (p *power) look(log *chaos.Log, from int, first, again bool) (states int, bad []string) {
	seen := map[string]bool{}
	log.States(from, func(s chaos.State) bool {
		key := s.Key()
		if seen[key] {
			return true
		}
		seen[key] = true
		err, known := p.kept[key]
		if !known {
			dir := filepath.Join(p.room, strconv.Itoa(len(p.kept)))
			if err = s.Make(dir); err != nil {
				p.t.Fatal(err)
			}
			if err = p.c.holds(dir, s.Done); err == nil && again {
				err = p.again(filepath.Join(dir, "store"))
			}
			p.kept[key] = err
			_ = os.RemoveAll(dir) // the test's folder goes anyway
		}
		if err != nil {
			bad = append(bad, fmt.Sprintf("after %d operations: %v", s.After, err))
		}
		return err == nil || !first
	})
	return len(seen), bad
}

// again deploys what was under way once more.
func (p *power) again(store string) error {
	s, err := OpenStore(store, calm())
	if err == nil {
		err = deploy(s, p.c.all[p.c.want-1])
	}
	if err != nil {
		return fmt.Errorf("deploying again: %w", err)
	}
	if active, err := after(store, p.c.all...); err != nil || active != p.c.want {
		return fmt.Errorf("deployed again, version %d is active: %v", active, err)
	}
	return nil
}

// TestPowerStates makes every state in which a cut of the power at any moment may leave the board, by the least that POSIX promises: each holds, and each can be
// deployed to again.
func TestPowerStates(t *testing.T) {
	for _, c := range scenes(t) {
		p := newPower(t, c)
		states, bad := p.look(c.log, 0, false, true)
		for _, b := range bad[:min(len(bad), 5)] {
			t.Errorf("%s: %s", c.name, b)
		}
		t.Logf("%s: %d operations, %d states, %d of them wrong", c.name, len(c.log.Ops()), states, len(bad))
	}
}

// spare says why no state misses an operation; "" where one has to.
func spare(ops []chaos.Op, i int, before int) string {
	o := ops[i]
	name := filepath.Base(o.To)
	if o.Kind == chaos.Sync { // of a temporary file: what it becomes says what it is for
		for _, r := range ops[i:] {
			if r.Kind == chaos.Rename && r.Path == o.Path {
				name = filepath.Base(r.To)
			}
		}
	}
	if o.Kind == chaos.SyncDir {
		named := false
		for _, b := range ops[:i] {
			switch {
			case b.Kind == chaos.SyncDir && b.Path == o.Path:
				named = false
			case b.Kind == chaos.Rename && filepath.Dir(b.To) == o.Path, (b.Kind == chaos.Create || b.Kind == chaos.Mkdir) && filepath.Dir(b.Path) == o.Path:
				named = true
			}
		}
		if !named {
			return "nothing was named in the folder since it was flushed last"
		}
		for _, b := range ops[i+1:] {
			if b.Kind == chaos.SyncDir && b.Path == o.Path {
				return "the folder is flushed again before anything is promised"
			}
		}
		return ""
	}
	switch {
	case name == "trial":
		return "a trial that cannot be read counts as none"
	case before == 0 && (name == "trust.json" || name == "count.json"):
		if o.Kind == chaos.Rename || name == "count.json" {
			return "nothing is active that they would be needed for, and they are written once more or flushed before something is"
		}
	case o.Kind == chaos.Rename && name != "current" && name != "count.json" && name != "trust.json":
		return "a new name, which nothing refers to before the commit"
	}
	return ""
}

// TestPowerStatesControl leaves out one flush, or one rename, at a time. Some state has to show it: with certainty, as all are looked at. The others have
// their reason.
func TestPowerStatesControl(t *testing.T) {
	found, spared := 0, map[string]int{}
	for _, c := range scenes(t) {
		p := newPower(t, c)
		ops := c.log.Ops()
		for i, o := range ops {
			if o.Kind != chaos.Sync && o.Kind != chaos.SyncDir && o.Kind != chaos.Rename {
				continue
			}
			states, bad := p.look(c.log.Without(i), i, true, false)
			why := spare(ops, i, c.before)
			switch {
			case len(bad) > 0:
				found++
				t.Logf("%s: without %s %s: %s", c.name, o.Kind, o.Path, bad[0])
			case why == "":
				t.Errorf("%s: without %s %s %s all %d states hold, and nothing says why", c.name, o.Kind, o.Path, o.To, states)
			default:
				spared[why]++
			}
		}
	}
	t.Logf("%d found; not missed by any state: %v", found, spared)
	if found < 25 {
		t.Errorf("only %d were found", found)
	}
}
