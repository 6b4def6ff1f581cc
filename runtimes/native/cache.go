package native

import (
	"context"
	"debug/elf"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"fettle/engine"
	"fettle/internal/fail"
	"fettle/internal/mapped"
	"fettle/runtimes"
)

// Bounds of a folder of prepared plans. What was used last stays.
const (
	keepPlans     = 32
	keepPlanBytes = 4 << 30
	spareBytes    = 256 << 20 // of the disk, which plans leave to others
	tempAge       = time.Hour // of files that a writer left behind when it died
)

// Reopen gives a session from the prepared file of an earlier Prepare, without the model. fail.NotFound: there is none.
func (n native) Reopen(ctx context.Context, opt runtimes.Options) (runtimes.Session, error) {
	if opt.Cache == "" || opt.ModelID == "" {
		return nil, fail.New(fail.NotFound, "no folder or no name for prepared plans")
	}
	eo, err := n.options(opt)
	if err != nil {
		return nil, err
	}
	if eo.Scores, err = n.kept(eo, opt.Cache); err != nil {
		return nil, err
	}
	key := n.key(opt)
	smalls := []bool{false, true}
	switch opt.Pack {
	case "small":
		smalls = smalls[1:]
	case "fast":
		smalls = smalls[:1]
	}
	for _, eo.Small = range smalls {
		path := filepath.Join(opt.Cache, engine.PreparedName(key, eo))
		p, err := engine.OpenPrepared(ctx, path, key, eo)
		if fail.Is(err, fail.Corrupt) {
			_ = os.Remove(path) // it is made again
		}
		if err != nil {
			continue
		}
		now := time.Now()
		_ = os.Chtimes(path, now, now) // for tidy; a loss only makes it look older
		s, err := open(p)
		mapped.ForgetProgram() // the weights come in with the first inference: the peak is lower by some megabytes
		return s, err
	}
	return nil, fail.New(fail.NotFound, "the model was not prepared yet")
}

// keep saves p and gives the plan over the saved file, so that the first launch measures what later ones do; p itself where
// it cannot be saved: a prepared plan saves time and is never needed.
func (n native) keep(ctx context.Context, p *engine.Plan, opt runtimes.Options) *engine.Plan {
	if opt.Cache == "" || opt.ModelID == "" || os.MkdirAll(opt.Cache, 0o700) != nil {
		return p
	}
	if !tidy(opt.Cache, p.PackBytes) {
		return p
	}
	key := n.key(opt)
	path := filepath.Join(opt.Cache, engine.PreparedName(key, p.Options))
	if p.WritePrepared(ctx, path, key) != nil {
		return p
	}
	q, err := engine.OpenPrepared(ctx, path, key, p.Options)
	if err != nil {
		return p
	}
	return q
}

func (n native) key(opt runtimes.Options) engine.Key {
	return engine.Key{Model: opt.ModelID, Build: buildID()}
}

// release gives the memory back that only compiling needed.
func release() {
	debug.FreeOSMemory()
	mapped.ForgetProgram()
}

// tidy makes room for need bytes in dir: files that died writers left, then the plans that were not used for longest. false:
// the disk is too full.
func tidy(dir string, need int64) bool {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	type plan struct {
		path string
		size int64
		used time.Time
	}
	var plans []plan
	total := need
	for _, e := range entries {
		st, err := e.Info()
		if err != nil || !st.Mode().IsRegular() {
			continue
		}
		path := filepath.Join(dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), ".fplan-") && time.Since(st.ModTime()) > tempAge:
			_ = os.Remove(path) // found again next time
		case strings.HasSuffix(e.Name(), ".fplan"):
			plans = append(plans, plan{path, st.Size(), st.ModTime()})
			total += st.Size()
		}
	}
	slices.SortFunc(plans, func(a, b plan) int { return a.used.Compare(b.used) })
	for len(plans) > 0 && (len(plans) >= keepPlans || total > keepPlanBytes || free(dir) < need+spareBytes) {
		if os.Remove(plans[0].path) == nil {
			total -= plans[0].size
		}
		plans = plans[1:]
	}
	return total <= keepPlanBytes && free(dir) >= need+spareBytes
}

// buildID names this very program: the linker's content hash, else what the file system says of the file.
func buildID() string {
	path, err := os.Executable()
	if err != nil {
		return ""
	}
	if f, err := elf.Open(path); err == nil {
		defer f.Close()
		if s := f.Section(".note.go.buildid"); s != nil {
			if b, err := s.Data(); err == nil && len(b) > 16 {
				return Version + " " + hex.EncodeToString(b[16:])
			}
		}
	}
	st, err := os.Stat(path)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s %d %d", Version, st.Size(), st.ModTime().UnixNano())
}

// FileID names the content of the file at path as long as the file system sees no change: device, place, size and times.
// "" where it cannot be told: the file is not there, no regular file, or changed a moment ago, when a second change might
// not show.
func FileID(path string) string {
	st, err := os.Stat(path)
	if err != nil || !st.Mode().IsRegular() || time.Since(st.ModTime()) < 2*time.Second {
		return ""
	}
	return fileID(st)
}

func plainID(st fs.FileInfo) string {
	return fmt.Sprintf("file %d %d", st.Size(), st.ModTime().UnixNano())
}
