package agent

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"fettle/remote/wire"
)

// event is a counter of the processor or of the kernel.
type event struct {
	name       string
	kind       uint32
	config     uint64
	everywhere bool // no processor has to be asked: the kernel counts it
}

func events() []event {
	miss := func(cache, op uint64) uint64 { return cache | op<<8 | 1<<16 }
	return []event{
		{"cycles", unix.PERF_TYPE_HARDWARE, unix.PERF_COUNT_HW_CPU_CYCLES, false},
		{"instructions", unix.PERF_TYPE_HARDWARE, unix.PERF_COUNT_HW_INSTRUCTIONS, false},
		{"cache-misses", unix.PERF_TYPE_HARDWARE, unix.PERF_COUNT_HW_CACHE_MISSES, false},
		{"l1-misses", unix.PERF_TYPE_HW_CACHE, miss(unix.PERF_COUNT_HW_CACHE_L1D, unix.PERF_COUNT_HW_CACHE_OP_READ), false},
		{"branch-misses", unix.PERF_TYPE_HARDWARE, unix.PERF_COUNT_HW_BRANCH_MISSES, false},
		{"stalls", unix.PERF_TYPE_HARDWARE, unix.PERF_COUNT_HW_STALLED_CYCLES_BACKEND, false},
		{"cpu-time", unix.PERF_TYPE_SOFTWARE, unix.PERF_COUNT_SW_TASK_CLOCK, true},
		{"page-faults", unix.PERF_TYPE_SOFTWARE, unix.PERF_COUNT_SW_PAGE_FAULTS, true},
	}
}

// counters are the events of this process, each over all of its threads.
type counters struct {
	names  []string
	files  [][]int // for each name, one descriptor a thread
	absent []string
}

// openCounters opens what this kernel and user have. Each event is optional and says why it is not there.
func openCounters() *counters {
	c := &counters{}
	tids, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return &counters{absent: []string{"counters: " + err.Error()}}
	}
	for _, e := range events() {
		attr := unix.PerfEventAttr{Type: e.kind, Config: e.config, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
			Bits:        unix.PerfBitInherit | unix.PerfBitExcludeKernel | unix.PerfBitExcludeHv,
			Read_format: unix.PERF_FORMAT_TOTAL_TIME_ENABLED | unix.PERF_FORMAT_TOTAL_TIME_RUNNING}
		if e.everywhere {
			attr.Bits = unix.PerfBitInherit
		}
		var files []int
		for _, t := range tids {
			tid, err := strconv.Atoi(t.Name())
			if err != nil {
				continue
			}
			fd, err := unix.PerfEventOpen(&attr, tid, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
			if err == unix.ESRCH {
				continue // the thread ended meanwhile
			}
			if err != nil {
				c.absent = append(c.absent, e.name+": "+whyNoCounter(err))
				closeAll(files)
				files = nil
				break
			}
			files = append(files, fd)
		}
		if files != nil {
			c.names, c.files = append(c.names, e.name), append(c.files, files)
		}
	}
	return c
}

// whyNoCounter says what the error of perf_event_open means to a user of a board.
func whyNoCounter(err error) string {
	switch err {
	case unix.EACCES, unix.EPERM:
		level := ""
		if b, rerr := os.ReadFile("/proc/sys/kernel/perf_event_paranoid"); rerr == nil {
			level = fmt.Sprintf(" (kernel.perf_event_paranoid is %.3s)", b)
		}
		return "this user may not" + level + "; sudo sysctl kernel.perf_event_paranoid=1"
	case unix.ENOENT, unix.ENODEV, unix.EOPNOTSUPP, unix.EINVAL:
		return "the processor, or the virtual machine around it, has no such counter"
	case unix.ENOSYS:
		return "the kernel has no perf_event_open"
	case unix.EMFILE, unix.ENFILE:
		return "too many files are open"
	}
	return err.Error()
}

// read gives all counts so far. One that had to share its place with others is scaled by the time that it ran.
func (c *counters) read() []float64 {
	out := make([]float64, len(c.files))
	var b [24]byte
	for i, files := range c.files {
		for _, fd := range files {
			n, err := unix.Read(fd, b[:])
			if err != nil || n < len(b) {
				continue
			}
			v, on, ran := binary.NativeEndian.Uint64(b[:]), binary.NativeEndian.Uint64(b[8:]), binary.NativeEndian.Uint64(b[16:])
			if ran > 0 && ran < on {
				v = uint64(float64(v) * float64(on) / float64(ran))
			}
			out[i] += float64(v)
		}
	}
	return out
}

func (c *counters) close() {
	for _, f := range c.files {
		closeAll(f)
	}
}

func closeAll(files []int) {
	for _, fd := range files {
		_ = unix.Close(fd) // it was only read
	}
}

// countWork runs once under the counters a few times and gives the counts of one.
func countWork(runs int, once func() error) (*wire.Counts, error) {
	c := openCounters()
	defer c.close()
	out := &wire.Counts{Runs: runs, Absent: c.absent, Values: map[string]float64{}}
	before := c.read()
	for range runs {
		if err := once(); err != nil {
			return nil, err
		}
	}
	for i, v := range c.read() {
		out.Values[c.names[i]] = (v - before[i]) / float64(runs)
	}
	return out, nil
}
