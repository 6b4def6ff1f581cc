package board

import (
	"bytes"
	"context"
	"runtime"
	"time"

	"fettle/internal/task"
)

// MemorySpeed is how fast the processor reads and copies what no cache holds.
type MemorySpeed struct {
	ReadBps float64 `json:"read_bps"` // all cores together
	CopyBps float64 `json:"copy_bps"` // bytes read plus bytes written
	Bytes   int64   `json:"bytes"`    // of each core's block
	Cores   int     `json:"cores"`
}

// Best is the larger of both: a floor must not be too high.
func (m MemorySpeed) Best() float64 { return max(m.ReadBps, m.CopyBps) }

const (
	speedBytes = 32 << 20 // of each core, larger than the caches of boards
	speedTime  = 500 * time.Millisecond
	speedPiece = int64(1 << 20)
)

// MeasureMemory reads and copies with all cores at once for a second. Of each core the fastest megabyte counts, and the cores are summed: other
// work on the board makes the memory look slower, and a floor must not be too high for that. free bounds what it takes to a quarter.
func MeasureMemory(free int64) *MemorySpeed {
	cores := runtime.GOMAXPROCS(0)
	size := int64(speedBytes)
	if free > 0 {
		size = max(1<<20, min(size, free/4/int64(2*cores)))
	}
	m := &MemorySpeed{Bytes: size, Cores: cores}
	from, to := make([][]byte, cores), make([][]byte, cores)
	for i := range from {
		from[i], to[i] = bytes.Repeat([]byte{1}, int(size)), bytes.Repeat([]byte{2}, int(size)) // written, so that each page is there
	}
	all := func(work func(i int, at, n int64)) float64 {
		best := make([]float64, cores)
		g := task.NewGroup(context.Background())
		stop := time.Now().Add(speedTime)
		for i := range cores {
			g.Go("memory", func(context.Context) error {
				for at := int64(0); time.Now().Before(stop); at = (at + speedPiece) % size {
					n := min(speedPiece, size-at)
					begin := time.Now()
					work(i, at, n)
					best[i] = max(best[i], float64(n)/max(time.Since(begin).Seconds(), 1e-9))
				}
				return nil
			})
		}
		_ = g.Wait() // a copy has no errors
		sum := 0.0
		for _, v := range best {
			sum += v
		}
		return sum
	}
	// a search for a byte that is not there reads everything with the widest instructions that Go has; copy is the fastest loop there is
	m.ReadBps = all(func(i int, at, n int64) { _ = bytes.IndexByte(from[i][at:at+n], 0) })
	m.CopyBps = 2 * all(func(i int, at, n int64) { copy(to[i][at:at+n], from[i][at:at+n]) })
	return m
}
