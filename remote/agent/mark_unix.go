//go:build unix

package agent

import (
	"encoding/json"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"fettle/internal/cas"
	"fettle/internal/fail"
	"fettle/runtimes"
)

// mark is a page that a child shares with its agent: where it is. It outlives the child, so a death has a place.
//
//	int64 at 0    the step it is at
//	int64 at 8    its phase
//	int64 at 16   grows with each inference
//	from 64 on    length (int64) and JSON of the steps
type mark struct {
	file *os.File
	page []byte
}

const (
	markSize  = 4 << 20 // the steps of a plan with many thousand layers fit
	markSteps = 64
)

// Phases of a child.
const (
	phaseLoad = iota // reads and packs the model
	phaseStep        // runs step by step, and says which
	phaseRun         // runs
	phaseIdle        // waits
)

// newMark makes a page that has no name: in memory, or where the system has no such files, in dir.
func newMark(dir string) (*mark, error) {
	f, err := memoryFile()
	if err != nil {
		if f, err = os.CreateTemp(dir, ".mark-*"); err != nil {
			return nil, cas.Explain(err)
		}
		_ = os.Remove(f.Name()) // what stays is 4 MiB of nothing
	}
	if err := f.Truncate(markSize); err != nil {
		f.Close()
		return nil, cas.Explain(err)
	}
	return mapMark(f)
}

func mapMark(f *os.File) (*mark, error) {
	page, err := unix.Mmap(int(f.Fd()), 0, markSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		f.Close()
		return nil, fail.New(fail.Failed, "the page of a child cannot be mapped: %v", err)
	}
	return &mark{f, page}, nil
}

func (m *mark) word(i int) *int64 { return (*int64)(unsafe.Pointer(&m.page[8*i])) }

func (m *mark) close() {
	_ = unix.Munmap(m.page) // the process is about to forget it anyway
	m.file.Close()
}

func (m *mark) enter(phase int64) {
	atomic.StoreInt64(m.word(1), phase)
	atomic.AddInt64(m.word(2), 1)
}

// now is what changes as long as the child gets on.
func (m *mark) now() [3]int64 {
	return [3]int64{atomic.LoadInt64(m.word(0)), atomic.LoadInt64(m.word(1)), atomic.LoadInt64(m.word(2))}
}

type markedStep struct {
	Name, Op string
	Origin   []string
}

// setSteps writes down what the numbers mean. Steps that do not fit have no names.
func (m *mark) setSteps(steps []runtimes.Step) {
	list := make([]markedStep, len(steps))
	for i, s := range steps {
		list[i] = markedStep{s.Name, s.Op, s.Origin}
	}
	b, err := json.Marshal(list)
	if err != nil || len(b) > markSize-markSteps-8 {
		return
	}
	copy(m.page[markSteps+8:], b)
	atomic.StoreInt64(m.word(markSteps/8), int64(len(b)))
}

// where names the step that the child is at.
func (m *mark) where() (fail.Where, string) {
	switch now := m.now(); now[1] {
	case phaseLoad:
		return fail.Where{}, "while the model was read and packed"
	case phaseStep:
		n := atomic.LoadInt64(m.word(markSteps / 8))
		var steps []markedStep
		if n <= 0 || n > markSize-markSteps-8 || json.Unmarshal(m.page[markSteps+8:markSteps+8+n], &steps) != nil || now[0] < 0 || now[0] >= int64(len(steps)) {
			return fail.Where{}, "in an inference"
		}
		s := steps[now[0]]
		return fail.Where{Node: s.Name, Op: s.Op}, "in this node"
	case phaseRun:
		return fail.Where{}, "in an inference after the first, which went well"
	}
	return fail.Where{}, "between two inferences"
}
