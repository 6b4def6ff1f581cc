package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"fettle/internal/cas"
	"fettle/internal/fail"
	"fettle/remote/bundle"
	"fettle/remote/wire"
)

// keepVersions is how many versions of a deployment stay, the active one included.
const keepVersions = 5

// orphanAge is how long chunks that no deployment names stay: long enough for a deployment under way and for
// measuring the same model again.
const orphanAge = 24 * time.Hour

// busyAge is how long chunks stay when room is needed: another desk may be sending them.
const busyAge = 10 * time.Minute

// Store is the agent's folder: chunks, and for each deployment its versions and a file that names the active one.
//
//	chunks/ab/<sha256>            content, internal/cas
//	deployments/<name>/<n>.json   manifest of version n, never changed
//	deployments/<name>/<n>.sig    who signed it
//	trust.json                    keys whose manifests are taken
//	count.json                    what the board is called in signatures, and the largest number of one that was taken
//	deployments/<name>/trial      the version that is being tried, and how far it came
//	deployments/<name>/current    {"version": n, "previous": m}; its rename is the commit
//	plans/<key>.fplan             prepared plans, a cache of the runtime
type Store struct {
	dir    string
	disk   cas.FS
	chunks *cas.Store

	forgetful bool // take old numbers; for the control of the tests
}

// OpenStore uses dir, making it with mode 0700. One that others may write, or that is a link, is refused: it may be a
// trap of another user of the board.
func OpenStore(dir string, disk cas.FS) (*Store, error) {
	if err := cas.MakeDir(disk, dir); err != nil {
		return nil, fail.In(cas.Explain(err), "open the store", fail.Where{File: dir})
	}
	if err := ours(dir); err != nil {
		return nil, fail.In(err, "open the store", fail.Where{File: dir})
	}
	chunks, err := cas.Open(filepath.Join(dir, "chunks"), disk)
	if err != nil {
		return nil, err
	}
	return &Store{dir: dir, disk: disk, chunks: chunks}, nil
}

type current struct {
	Version  int `json:"version"`
	Previous int `json:"previous,omitempty"`
}

func (s *Store) plans() string                 { return filepath.Join(s.dir, "plans") }
func (s *Store) deployment(name string) string { return filepath.Join(s.dir, "deployments", name) }
func (s *Store) manifestPath(name string, v int) string {
	return filepath.Join(s.deployment(name), strconv.Itoa(v)+".json")
}

// Missing lists the positions of chunks that are not there.
func (s *Store) Missing(chunks []wire.Chunk) []int {
	out := []int{}
	for i, c := range chunks {
		if !s.chunks.Has(cas.Hash(c.SHA256), c.Len) {
			out = append(out, i)
		}
	}
	return out
}

// Put stores the announced chunks from r, one after the other. Chunks before a cut stay.
func (s *Store) Put(chunks []wire.Chunk, r io.Reader) (wire.Stored, error) {
	var done wire.Stored
	for _, c := range chunks {
		if c.Len <= 0 || c.Len > bundle.MaxChunk {
			return done, fail.New(fail.Invalid, "a chunk of %d bytes", c.Len)
		}
		if err := s.chunks.Put(cas.Hash(c.SHA256), c.Len, r); err != nil {
			return done, err
		}
		done.Chunks++
		done.Bytes += c.Len
	}
	return done, nil
}

// File reads the whole model file of m, checking every chunk and the whole.
func (s *Store) File(m *bundle.Manifest) ([]byte, error) {
	out := make([]byte, 0, min(m.Size, 1<<30))
	for _, c := range m.Chunks {
		var err error
		if out, err = s.chunks.Read(out, c.SHA256, c.Len); err != nil {
			return nil, err
		}
	}
	if cas.Of(out) != m.SHA256 {
		return nil, fail.New(fail.Corrupt, "the chunks of %s do not give its file", m.Name).Try("deploy again")
	}
	return out, nil
}

// verify is File without holding the file.
func (s *Store) verify(m *bundle.Manifest) error {
	sum := sha256.New()
	var buf []byte
	for _, c := range m.Chunks {
		b, err := s.chunks.Read(buf[:0], c.SHA256, c.Len)
		if err != nil {
			return err
		}
		sum.Write(b)
		buf = b
	}
	if hex.EncodeToString(sum.Sum(nil)) != string(m.SHA256) {
		return fail.New(fail.Corrupt, "the chunks of %s do not give its file", m.Name)
	}
	for _, c := range m.All()[len(m.Chunks):] {
		if _, err := s.chunks.Read(nil, c.SHA256, c.Len); err != nil {
			return err
		}
	}
	return nil
}

// Blob reads a tensor of a sample.
func (s *Store) Blob(b bundle.Blob) ([]byte, error) {
	var out []byte
	for _, c := range b.Chunks {
		var err error
		if out, err = s.chunks.Read(out, c.SHA256, c.Len); err != nil {
			return nil, err
		}
	}
	if cas.Of(out) != b.SHA256 {
		return nil, fail.New(fail.Corrupt, "the chunks of tensor %s do not give it", b.Name).Try("deploy again")
	}
	return out, nil
}

// Commit makes m the active version of its name: its signature and all chunks are checked, the manifest is stored, then the
// name is switched in one step. A cut at any point leaves the version before. The same manifest again changes nothing.
func (s *Store) Commit(raw []byte, sig bundle.Signature) (wire.Deployment, error) {
	return s.install(raw, sig, nil)
}

// install is Commit with a trial in between: try sees the manifest stored as a version that is not active yet, and its error
// takes that version away again. It is not called for what is active already.
func (s *Store) install(raw []byte, sig bundle.Signature, try func(m *bundle.Manifest, version, before int) error) (wire.Deployment, error) {
	m, err := s.Vouched(raw, sig)
	if err != nil {
		return wire.Deployment{}, err
	}
	if err := s.verify(m); err != nil {
		return wire.Deployment{}, fail.In(err, "commit "+m.Name, fail.Where{})
	}
	unlock, err := s.lock(lockDeployments)
	if err != nil {
		return wire.Deployment{}, err
	}
	defer unlock()
	cur, err := s.current(m.Name)
	if err != nil && !fail.Is(err, fail.NotFound) {
		return wire.Deployment{}, err
	}
	if err := s.take(sig); err != nil { // first: a number that was used for a deployment which was cut is used
		return wire.Deployment{}, fail.In(err, "commit "+m.Name, fail.Where{})
	}
	if cur.Version > 0 {
		if old, err := os.ReadFile(s.manifestPath(m.Name, cur.Version)); err == nil && cas.Of(old) == cas.Of(raw) {
			if _, err := s.version(m.Name, cur.Version); err == nil { // one of before signatures is stored anew
				return s.describe(m.Name)
			}
		}
	}
	s.dropTrial(m.Name)
	versions, err := s.versions(m.Name)
	if err != nil {
		return wire.Deployment{}, err
	}
	if err := s.chunks.Sync(m.Hashes()); err != nil {
		return wire.Deployment{}, err
	}
	next := current{Version: 1, Previous: cur.Version}
	if n := len(versions); n > 0 {
		next.Version = versions[n-1] + 1
	}
	if err := s.pin(sig.Key); err != nil {
		return wire.Deployment{}, err
	}
	if try != nil {
		if err := s.setTrial(m.Name, trial{next.Version, trialStaged}); err != nil {
			return wire.Deployment{}, err
		}
	}
	if err := s.writeVersion(m.Name, next.Version, raw, sig); err != nil {
		return wire.Deployment{}, err
	}
	if try != nil {
		if err := try(m, next.Version, cur.Version); err != nil {
			s.dropTrial(m.Name)
			return wire.Deployment{}, err
		}
	}
	if err := s.activate(m.Name, next); err != nil {
		return wire.Deployment{}, err
	}
	if try != nil {
		_ = s.disk.Remove(s.trialPath(m.Name)) // one that names the active version means nothing
	}
	s.tidy(m.Name, append(versions, next.Version), next)
	return s.describe(m.Name)
}

func (s *Store) activate(name string, c current) error {
	b, err := json.Marshal(c)
	if err != nil {
		return fail.New(fail.Internal, "%v", err)
	}
	return cas.WriteFile(s.disk, filepath.Join(s.deployment(name), "current"), b)
}

// tidy removes old versions and orphans. It is after the commit: a failure leaves more files, nothing wrong.
func (s *Store) tidy(name string, versions []int, cur current) {
	for i := 0; i < len(versions)-keepVersions; i++ {
		if v := versions[i]; v != cur.Version && v != cur.Previous {
			_ = s.disk.Remove(s.manifestPath(name, v)) // found again next time
			_ = s.disk.Remove(s.signaturePath(name, v))
		}
	}
	_, _ = s.gc(nil, orphanAge) // as above
}

// Rollback returns to the version before the active one, because the board found the active one wanting.
func (s *Store) Rollback(name string) (wire.Deployment, error) {
	if err := bundle.CheckName(name); err != nil {
		return wire.Deployment{}, err
	}
	unlock, err := s.lock(lockDeployments)
	if err != nil {
		return wire.Deployment{}, err
	}
	defer unlock()
	return s.rollback(name)
}

// RollbackFor is Rollback for a desk, which has to show that it may: an older version is as good as an older manifest to who
// wants a fault back.
func (s *Store) RollbackFor(q wire.Back) (wire.Deployment, error) {
	if err := bundle.CheckName(q.Name); err != nil {
		return wire.Deployment{}, err
	}
	unlock, err := s.lock(lockDeployments)
	if err != nil {
		return wire.Deployment{}, err
	}
	defer unlock()
	known, err := s.Trusted()
	if err != nil {
		return wire.Deployment{}, err
	}
	if sig := bundle.Signature(q.Vouch); len(known) > 0 {
		if err = sig.Verify(bundle.RollbackWords(q.Name), known); err == nil {
			err = s.take(sig)
		}
		if err != nil {
			return wire.Deployment{}, fail.In(err, "roll back "+q.Name, fail.Where{})
		}
	}
	return s.rollback(q.Name)
}

func (s *Store) rollback(name string) (wire.Deployment, error) {
	cur, err := s.current(name)
	if err != nil {
		return wire.Deployment{}, err
	}
	if t, ok := s.trial(name); ok && t.Version != cur.Version {
		s.dropTrial(name) // what was never active is what goes first
		if t.Version > 0 {
			return s.describe(name)
		} // else a power cut left nothing readable of a trial that had ended
	}
	if cur.Previous == 0 {
		return wire.Deployment{}, fail.New(fail.NotFound, "%s has no version before %d", name, cur.Version).Try("deploy the model that you want")
	}
	m, err := s.version(name, cur.Previous)
	if err == nil {
		err = s.verify(m) // never switch to a version that cannot run
	}
	if err != nil {
		return wire.Deployment{}, fail.In(err, "roll back "+name, fail.Where{})
	}
	versions, err := s.versions(name)
	if err != nil {
		return wire.Deployment{}, err
	}
	to := current{Version: cur.Previous}
	for _, v := range versions {
		if v < to.Version {
			to.Previous = v
		}
	}
	if err := s.activate(name, to); err != nil {
		return wire.Deployment{}, err
	}
	return s.describe(name)
}

// List describes all deployments, by name.
func (s *Store) List() ([]wire.Deployment, error) {
	names, err := os.ReadDir(filepath.Join(s.dir, "deployments"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, cas.Explain(err)
	}
	out := []wire.Deployment{}
	for _, n := range names {
		if bundle.CheckName(n.Name()) != nil || !n.IsDir() {
			continue
		}
		d, err := s.describe(n.Name())
		if fail.Is(err, fail.NotFound) {
			continue // cut before its first commit
		}
		if err != nil {
			d = wire.Deployment{Name: n.Name(), State: "broken: " + err.Error()}
		}
		out = append(out, d)
	}
	return out, nil
}

// Active is the manifest that name stands for.
func (s *Store) Active(name string) (*bundle.Manifest, error) {
	if err := bundle.CheckName(name); err != nil {
		return nil, err
	}
	cur, err := s.current(name)
	if err != nil {
		return nil, err
	}
	return s.version(name, cur.Version)
}

func (s *Store) current(name string) (current, error) {
	var c current
	b, err := os.ReadFile(filepath.Join(s.deployment(name), "current"))
	if errors.Is(err, fs.ErrNotExist) {
		return c, fail.New(fail.NotFound, "no deployment is named %s", name).Try("see fettle deployments")
	}
	if err != nil {
		return c, cas.Explain(err)
	}
	if err := json.Unmarshal(b, &c); err != nil || c.Version < 1 || c.Previous < 0 {
		return c, fail.New(fail.Corrupt, "the file that names the active version of %s cannot be read", name).Try("deploy again")
	}
	return c, nil
}

func (s *Store) versions(name string) ([]int, error) {
	entries, err := os.ReadDir(s.deployment(name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, cas.Explain(err)
	}
	var out []int
	for _, e := range entries {
		if v, err := strconv.Atoi(strings.TrimSuffix(e.Name(), ".json")); err == nil && v > 0 && strings.HasSuffix(e.Name(), ".json") {
			out = append(out, v)
		}
	}
	slices.Sort(out)
	return out, nil
}

func (s *Store) describe(name string) (wire.Deployment, error) {
	cur, err := s.current(name)
	if err != nil {
		return wire.Deployment{}, err
	}
	raw, err := os.ReadFile(s.manifestPath(name, cur.Version))
	if err != nil {
		return wire.Deployment{}, cas.Explain(err)
	}
	m, err := bundle.Decode(raw)
	if err != nil {
		return wire.Deployment{}, err
	}
	d := wire.Deployment{Name: name, Version: cur.Version, SHA256: string(m.SHA256), Manifest: string(cas.Of(raw)), Bytes: m.Size,
		Previous: cur.Previous, State: "active", Meta: m.Meta}
	if t, ok := s.trial(name); ok && t.Version > 0 && t.Version != cur.Version {
		d.Trial = t.State
	}
	return d, nil
}

// Remove takes one deployment away with the chunks that no other needs.
func (s *Store) Remove(name string) (wire.Freed, error) {
	if err := bundle.CheckName(name); err != nil {
		return wire.Freed{}, err
	}
	unlock, err := s.lock(lockDeployments)
	if err != nil {
		return wire.Freed{}, err
	}
	defer unlock()
	if _, err := s.current(name); err != nil {
		return wire.Freed{}, err
	}
	if err := s.disk.Remove(filepath.Join(s.deployment(name), "current")); err != nil {
		return wire.Freed{}, cas.Explain(err)
	}
	if err := os.RemoveAll(s.deployment(name)); err != nil {
		return wire.Freed{}, cas.Explain(err)
	}
	n, err := s.gc(nil, busyAge)
	return wire.Freed{Bytes: n + s.dropPlans()}, err
}

// Tidy removes what can be had again: chunks that no deployment names, and prepared plans.
func (s *Store) Tidy() (wire.Freed, error) {
	unlock, err := s.lock(lockDeployments)
	if err != nil {
		return wire.Freed{}, err
	}
	defer unlock()
	n, err := s.gc(nil, busyAge)
	return wire.Freed{Bytes: n + s.dropPlans()}, err
}

// dropPlans removes all prepared plans: they are made again when they are needed. A child that has one mapped keeps it.
func (s *Store) dropPlans() int64 {
	var n int64
	entries, err := os.ReadDir(s.plans())
	if err != nil {
		return 0 // there is none
	}
	for _, e := range entries {
		if st, err := e.Info(); err == nil && s.disk.Remove(filepath.Join(s.plans(), e.Name())) == nil {
			n += st.Size()
		}
	}
	return n
}

// RemoveAll takes everything in the store away, and the folder where this process may.
func (s *Store) RemoveAll() (wire.Freed, error) {
	var n int64
	_ = filepath.WalkDir(s.dir, func(_ string, d fs.DirEntry, err error) error { // a count for the report only
		if err == nil && !d.IsDir() {
			if st, err := d.Info(); err == nil {
				n += st.Size()
			}
		}
		return nil
	})
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return wire.Freed{}, cas.Explain(err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(s.dir, e.Name())); err != nil {
			return wire.Freed{}, cas.Explain(err)
		}
	}
	_ = os.Remove(s.dir) // a confined agent may not; who put it there does then
	return wire.Freed{Bytes: n}, nil
}

// gc removes chunks older than age that neither keep nor a version of any deployment names. A manifest that cannot be
// read stops it: its chunks are not known.
func (s *Store) gc(keep map[cas.Hash]bool, age time.Duration) (int64, error) {
	keep = maps.Clone(keep)
	if keep == nil {
		keep = map[cas.Hash]bool{}
	}
	names, err := os.ReadDir(filepath.Join(s.dir, "deployments"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, cas.Explain(err)
	}
	for _, n := range names {
		versions, err := s.versions(n.Name())
		if err != nil {
			return 0, err
		}
		for _, v := range versions {
			raw, err := os.ReadFile(s.manifestPath(n.Name(), v))
			if err != nil {
				return 0, cas.Explain(err)
			}
			m, err := bundle.Decode(raw)
			if err != nil {
				return 0, err
			}
			maps.Copy(keep, m.Hashes())
		}
	}
	return s.chunks.GC(keep, age)
}
