// Package chaos makes faults for tests: a link that is cut, stalls or flips a bit at a chosen byte, and a disk that
// fills, dies or loses power at a chosen operation.
//
// Only tests import it. Each fault is exact and repeats. Start reading at Link and Disk.
package chaos

import (
	"errors"
	"io"
	"sync"
)

// ErrCut is what both ends of a cut link see.
var ErrCut = errors.New("chaos: the link was cut")

// Link passes bytes on until a fault happens. Set the fields before use; negative means never.
type Link struct {
	Inner      io.ReadWriteCloser
	CutWrite   int64 // cut when this many bytes were written
	CutRead    int64 // cut when this many bytes were read
	FlipWrite  int64 // flip the lowest bit of the byte at this offset of what is written
	StallWrite int64 // stop passing written bytes on after this many, without an error, until Close

	mu            sync.Mutex
	wrote, readed int64
	closed        chan struct{}
	once          sync.Once
}

// NewLink is a link without faults.
func NewLink(inner io.ReadWriteCloser) *Link {
	return &Link{Inner: inner, CutWrite: -1, CutRead: -1, FlipWrite: -1, StallWrite: -1, closed: make(chan struct{})}
}

// Write passes p on as far as the faults allow.
func (l *Link) Write(p []byte) (int, error) {
	l.mu.Lock()
	at := l.wrote
	l.wrote += int64(len(p))
	l.mu.Unlock()
	if l.StallWrite >= 0 && at+int64(len(p)) > l.StallWrite {
		<-l.closed
		return 0, ErrCut
	}
	if k := l.FlipWrite - at; l.FlipWrite >= 0 && k >= 0 && k < int64(len(p)) {
		p = append([]byte(nil), p...)
		p[k] ^= 1
	}
	if l.CutWrite >= 0 && at+int64(len(p)) > l.CutWrite {
		n := max(0, l.CutWrite-at)
		_, _ = l.Inner.Write(p[:n]) // the cut is the error
		l.Close()
		return int(n), ErrCut
	}
	return l.Inner.Write(p)
}

// Read gives bytes as far as the faults allow.
func (l *Link) Read(p []byte) (int, error) {
	if l.CutRead >= 0 {
		l.mu.Lock()
		left := l.CutRead - l.readed
		l.mu.Unlock()
		if left <= 0 {
			l.Close()
			return 0, ErrCut
		}
		p = p[:min(int64(len(p)), left)]
	}
	n, err := l.Inner.Read(p)
	l.mu.Lock()
	l.readed += int64(n)
	l.mu.Unlock()
	return n, err
}

// Close closes the link; it may be called often.
func (l *Link) Close() error {
	var err error
	l.once.Do(func() { close(l.closed); err = l.Inner.Close() })
	return err
}

// Counts gives the bytes written and read so far.
func (l *Link) Counts() (wrote, read int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wrote, l.readed
}
