package train

import "fettle/kernels/grad"

// memory hands out the values of one pass; reset takes all of them back at once.
type memory[T float] struct {
	chunks [][]T
	chunk  int           // of chunks, the one that is handed out
	used   int           // of it
	spare  map[int][][]T // what was given back, by length
}

// chunkLen is the least length of a chunk.
const chunkLen = 1 << 20

// take gives n numbers that hold anything.
func (m *memory[T]) take(n int) []T {
	if l := m.spare[n]; len(l) > 0 {
		m.spare[n] = l[:len(l)-1]
		return l[len(l)-1]
	}
	size := (n + slack + 15) / 16 * 16
	for m.chunk < len(m.chunks) && len(m.chunks[m.chunk])-m.used < size {
		m.chunk, m.used = m.chunk+1, 0
	}
	if m.chunk == len(m.chunks) {
		m.chunks = append(m.chunks, make([]T, max(size, chunkLen)))
	}
	out := m.chunks[m.chunk][m.used:][:n:n]
	m.used += size
	return out
}

// slack is how many numbers behind a value vector kernels may read.
const slack = grad.Slack

// give takes memory back before the pass is over.
func (m *memory[T]) give(v []T) {
	if m.spare == nil {
		m.spare = map[int][][]T{}
	}
	m.spare[len(v)] = append(m.spare[len(v)], v)
}

// array gives a value that holds anything, zeros one of zeros.
func (m *memory[T]) array(shape ...int) *array[T] {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return &array[T]{shape, m.take(n)}
}

func (m *memory[T]) zeros(shape ...int) *array[T] {
	a := m.array(shape...)
	clear(a.v)
	return a
}

// place is a point to go back to with release: what was taken after it is free again.
type place struct{ chunk, used int }

func (m *memory[T]) mark() place     { return place{m.chunk, m.used} }
func (m *memory[T]) release(p place) { m.chunk, m.used = p.chunk, p.used }

func (m *memory[T]) reset() {
	m.chunk, m.used = 0, 0
	clear(m.spare)
}
