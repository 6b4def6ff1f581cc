package board

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Storage is how fast the folder of the agent's store is.
type Storage struct {
	Bytes    int64   `json:"bytes"`     // written and read
	WriteBps float64 `json:"write_bps"` // with the flush
	ReadBps  float64 `json:"read_bps"`
	FlushNs  int64   `json:"flush_ns"` // median of a small write with its flush
	Cached   bool    `json:"cached"`   // the kernel may have answered the read from memory
}

// bounds of a look at the storage: little wear, and soon over.
const (
	storageBytes = 8 << 20
	storageTime  = 4 * time.Second
)

// MeasureStorage writes, flushes and reads a file in dir and takes it away again; free bounds it to a tenth of what is left.
func MeasureStorage(dir string, free int64) (*Storage, error) {
	n := int64(storageBytes)
	if free >= 0 {
		n = min(n, free/10)
	}
	n = max(n&^(1<<20-1), 1<<20)
	f, err := os.CreateTemp(dir, ".speed-*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	piece := make([]byte, 1<<20)
	_, _ = rand.Read(piece) // it never fails; zeros may be stored as nothing
	s := &Storage{}
	begin := time.Now()
	for s.Bytes < n && time.Since(begin) < storageTime/2 {
		if _, err := f.Write(piece); err != nil {
			return nil, err
		}
		s.Bytes += int64(len(piece))
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	s.WriteBps = float64(s.Bytes) / time.Since(begin).Seconds()
	s.Cached = !dropCache(f)
	begin = time.Now()
	for at := int64(0); at < s.Bytes; at += int64(len(piece)) {
		if _, err := f.ReadAt(piece, at); err != nil {
			return nil, err
		}
	}
	s.ReadBps = float64(s.Bytes) / max(time.Since(begin).Seconds(), 1e-9)
	if s.FlushNs, err = flush(filepath.Dir(f.Name())); err != nil {
		return nil, err
	}
	return s, nil
}

// flush is the median time of writing and flushing 4 KiB.
func flush(dir string) (int64, error) {
	f, err := os.CreateTemp(dir, ".speed-*")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	var all []int64
	stop := time.Now().Add(storageTime / 4)
	for len(all) < 9 && (len(all) == 0 || time.Now().Before(stop)) {
		begin := time.Now()
		if _, err := f.WriteAt(make([]byte, 4096), 0); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		all = append(all, time.Since(begin).Nanoseconds())
	}
	slices.Sort(all)
	return all[len(all)/2], nil
}
