package train

// memory hands out the values of one pass; reset takes all of them back at once.
type memory[T float] struct {
	chunks [][]T
	chunk  int // of chunks, the one that is handed out
	used   int // of it
}

// chunkLen is the least length of a chunk.
const chunkLen = 1 << 20

// take gives n numbers that hold anything.
func (m *memory[T]) take(n int) []T {
	for m.chunk < len(m.chunks) && len(m.chunks[m.chunk])-m.used < n {
		m.chunk, m.used = m.chunk+1, 0
	}
	if m.chunk == len(m.chunks) {
		m.chunks = append(m.chunks, make([]T, max(n, chunkLen)))
	}
	out := m.chunks[m.chunk][m.used:][:n:n]
	m.used += n
	return out
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
func (m *memory[T]) reset()          { m.chunk, m.used = 0, 0 }
