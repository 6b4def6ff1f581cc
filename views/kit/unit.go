package kit

// Unit is the unit of a column or an axis of times. A table has one, so that its digits can be compared by eye.
type Unit struct {
	Name string
	Ns   float64 // how long one is
}

// UnitFor is the unit for times of which ns is the largest that stands alone.
func UnitFor(ns float64) Unit {
	if ns < 0.5e6 {
		return Unit{"µs", 1e3}
	}
	return Unit{"ms", 1e6}
}

// Value is a time in this unit, for axes.
func (u Unit) Value(ns float64) float64 { return ns / u.Ns }

// Cell is a time without the unit, for a column that names it.
func (u Unit) Cell(ns float64) string { return Sig(ns / u.Ns) }

// Delta is a change with its sign, without the unit.
func (u Unit) Delta(ns float64) string { return signed(ns, u.Cell(ns)) }

// WithName is a text of this unit with its name: "+12 µs".
func (u Unit) WithName(text string) string { return text + nbsp + u.Name }
