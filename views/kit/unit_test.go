package kit

import (
	"math"
	"testing"
)

func TestUnit(t *testing.T) {
	for _, c := range []struct {
		name        string
		largest, ns float64
		cell, delta string
		unit        string
	}{
		{"network of a microcontroller", 18.2e3, 376, "0.376", "+0.376", "µs"},
		{"usual network", 7.58e6, 0.31e6, "0.310", "+0.310", "ms"},
		{"gain", 7.58e6, -3.67e6, "−3.67", "−3.67", "ms"},
		{"absent", 7.58e6, math.NaN(), Absent, Absent, "ms"},
	} {
		u := UnitFor(c.largest)
		if u.Name != c.unit || u.Cell(c.ns) != c.cell || u.Delta(c.ns) != c.delta {
			t.Errorf("%s: %s %q %q", c.name, u.Name, u.Cell(c.ns), u.Delta(c.ns))
		}
	}
}
