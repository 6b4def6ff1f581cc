package app

import (
	"os"
	"path/filepath"
	"sort"
	"time"
)

// keptCalibrations is how many calibrations stay on disk, finished or not.
const keptCalibrations = 32

// keep holds calibrations and trainings under the home folder. A record that cannot be read or written only costs time.
type keep struct{ dir string }

func (a *App) calibrations() keep { return keep{filepath.Join(a.home, "cache", "calibration")} }

// Get reads a record.
func (k keep) Get(key string) ([]byte, bool) {
	b, err := readSmall(filepath.Join(k.dir, filepath.Base(key)), 1<<30)
	return b, err == nil
}

// Put writes a record in one step and drops the oldest ones.
func (k keep) Put(key string, b []byte) error {
	if os.MkdirAll(k.dir, 0o700) != nil {
		return nil
	}
	if atomicWrite(filepath.Join(k.dir, filepath.Base(key)), b) == nil {
		k.prune()
	}
	return nil
}

func (k keep) prune() {
	list, err := os.ReadDir(k.dir)
	if err != nil || len(list) <= keptCalibrations {
		return
	}
	age := func(e os.DirEntry) time.Time {
		if info, err := e.Info(); err == nil {
			return info.ModTime()
		}
		return time.Time{}
	}
	sort.Slice(list, func(i, j int) bool { return age(list[i]).After(age(list[j])) })
	for _, e := range list[keptCalibrations:] {
		_ = os.Remove(filepath.Join(k.dir, e.Name())) // it goes with the next one
	}
}
