package conv

// Reference is the definition of a convolution: plain loops over NCHW slices, sums in float64.
// bias and res may be nil. The result is [N, M, OutH, OutW].
func Reference(s Shape, in, w, bias, res []float32) []float32 {
	oh, ow := s.OutH(), s.OutW()
	cg, mg := s.C/s.Groups, s.M/s.Groups
	out := make([]float32, s.N*s.M*oh*ow)
	for n := range s.N {
		for m := range s.M {
			for y := range oh {
				for x := range ow {
					o := ((n*s.M+m)*oh+y)*ow + x
					sum := 0.0
					if bias != nil {
						sum = float64(bias[m])
					}
					for i := range cg {
						c := m/mg*cg + i
						for ky := range s.KH {
							iy := y*s.SH + ky*s.DH - s.PadT
							if iy < 0 || iy >= s.H {
								continue
							}
							for kx := range s.KW {
								ix := x*s.SW + kx*s.DW - s.PadL
								if ix < 0 || ix >= s.W {
									continue
								}
								sum += float64(in[((n*s.C+c)*s.H+iy)*s.W+ix]) * float64(w[((m*cg+i)*s.KH+ky)*s.KW+kx])
							}
						}
					}
					if res != nil {
						sum += float64(res[o])
					}
					out[o] = float32(s.Act.Apply(sum))
				}
			}
		}
	}
	return out
}
