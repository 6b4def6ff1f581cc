package predict

import "math"

// factor replaces the lower half of a symmetric n by n matrix by its Cholesky factor; false where it has none.
func factor(a []float64, n int) bool {
	for i := range n {
		row := a[i*n : i*n+n]
		for j := range i {
			row[j] = (row[j] - dot(row[:j], a[j*n:j*n+j])) / a[j*n+j]
		}
		v := row[i] - dot(row[:i], row[:i])
		if v <= 0 {
			return false
		}
		row[i] = math.Sqrt(v)
	}
	return true
}

// forth solves L x = b in place, back solves L' x = b.
func forth(l []float64, n int, b []float64) []float64 {
	from := 0
	for from < n && b[from] == 0 { // what begins with zeros stays so
		from++
	}
	for i := from; i < n; i++ {
		b[i] = (b[i] - dot(b[from:i], l[i*n+from:i*n+i])) / l[i*n+i]
	}
	return b
}

func back(l []float64, n int, b []float64) []float64 {
	for i := n - 1; i >= 0; i-- {
		b[i] /= l[i*n+i]
		v := b[i]
		for k, x := range l[i*n : i*n+i] {
			b[k] -= v * x
		}
	}
	return b
}

// inverted is the diagonal of the inverse of L L'.
func inverted(l []float64, n int) []float64 {
	out := make([]float64, n)
	col := make([]float64, n)
	for i := range n {
		clear(col)
		col[i] = 1
		forth(l, n, col)
		out[i] = dot(col[i:], col[i:])
	}
	return out
}

// dot adds in four lanes: the additions of one would wait for each other.
func dot(a, b []float64) float64 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float64
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s0 += a[i] * b[i]
		s1 += a[i+1] * b[i+1]
		s2 += a[i+2] * b[i+2]
		s3 += a[i+3] * b[i+3]
	}
	for ; i < len(a); i++ {
		s0 += a[i] * b[i]
	}
	return s0 + s1 + s2 + s3
}
