package predict

// Keep takes over what was measured of the same layer before.
func (s *Staircase) Keep(old *Staircase) {
	if old.Node != s.Node || len(old.Treads) != len(s.Treads) {
		return
	}
	for i := range s.Treads {
		s.Treads[i].Measured = old.Treads[i].Measured
	}
	s.mark()
}
