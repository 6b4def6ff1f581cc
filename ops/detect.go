package ops

import (
	"math"
	"sort"

	"fettle/model"
)

// detectOps: what detectors need behind their convolutions.
func detectOps() []*Def { return []*Def{nmsDef, roiAlignDef} }

// nmsDef: boxes [batches, boxes, 4] and scores [batches, classes, boxes] give rows of (batch, class, box).
var nmsDef = &Def{Name: "NonMaxSuppression", Since: []int{10, 11}, In: []Port{{Name: "boxes", Type: "float32"}, {Name: "scores", Type: "float32"},
	{Name: "max_output_boxes_per_class", Type: "int64", Opt: true}, {Name: "iou_threshold", Type: "float32", Opt: true}, {Name: "score_threshold", Type: "float32", Opt: true}},
	Out: []Port{{Name: "selected_indices"}}, Attrs: []AttrSpec{{Name: "center_point_box", Type: model.AttrInt, Default: int64(0)}},
	Infer: func(f *Inference) error {
		f.Out[0] = model.TensorType(model.Int64, model.Shape{model.Sym(""), model.Fixed(3)})
		batch, boxes := -1, -1
		if f.In[0].Ranked && len(f.In[0].Shape) == 3 {
			batch, boxes = f.In[0].Shape[0].N, f.In[0].Shape[1].N
		}
		if err := f.shaped(0, -1, -1, 4); err != nil {
			return err
		}
		if err := f.shaped(1, batch, -1, boxes); err != nil {
			return err
		}
		for i := 2; i < 5; i++ {
			if err := f.single(i); err != nil {
				return err
			}
		}
		return nil
	},
	Eval: func(c *Call) error {
		b, s := model.Data[float32](c.In[0]), model.Data[float32](c.In[1])
		batch, boxes, classes := c.In[0].Shape[0], c.In[0].Shape[1], c.In[1].Shape[1]
		most, iou, least := int64(0), 0.0, math.Inf(-1)
		if c.Has(2) {
			most = c.In[2].Int64At(0)
		}
		if c.Has(3) {
			iou = c.In[3].Float64At(0)
		}
		if c.Has(4) {
			least = c.In[4].Float64At(0)
		}
		var rows []int64
		for n := range batch {
			if boxes == 0 {
				break
			}
			at := make([]box, boxes)
			for i := range at {
				at[i] = boxOf(b[(n*boxes+i)*4:], c.Int("center_point_box") != 0)
			}
			for k := range classes {
				score := s[(n*classes+k)*boxes:][:boxes]
				var order []int
				for i, v := range score {
					if float64(v) > least {
						order = append(order, i)
					}
				}
				sort.SliceStable(order, func(i, j int) bool { return score[order[i]] > score[order[j]] })
				var kept []int
			candidates:
				for _, i := range order {
					if int64(len(kept)) >= most {
						break
					}
					for _, o := range kept {
						if at[i].overlap(at[o]) > iou {
							continue candidates
						}
					}
					kept = append(kept, i)
					rows = append(rows, int64(n), int64(k), int64(i))
				}
			}
		}
		c.Out[0] = model.FromSlice(model.Int64, rows, len(rows)/3, 3)
		return nil
	}}

// box is a rectangle with ordered corners.
type box struct{ y1, x1, y2, x2 float64 }

// boxOf reads two opposite corners y, x, y, x, or centre x, y, width, height.
func boxOf(v []float32, center bool) box {
	a, b, c, d := float64(v[0]), float64(v[1]), float64(v[2]), float64(v[3])
	if center {
		return box{b - d/2, a - c/2, b + d/2, a + c/2}
	}
	return box{math.Min(a, c), math.Min(b, d), math.Max(a, c), math.Max(b, d)}
}

// overlap is intersection over union, 0 for boxes without area.
func (a box) overlap(b box) float64 {
	h, w := math.Min(a.y2, b.y2)-math.Max(a.y1, b.y1), math.Min(a.x2, b.x2)-math.Max(a.x1, b.x1)
	if !(h > 0) || !(w > 0) {
		return 0
	}
	areaA, areaB := (a.y2-a.y1)*(a.x2-a.x1), (b.y2-b.y1)*(b.x2-b.x1)
	if areaA <= 0 || areaB <= 0 {
		return 0
	}
	return h * w / (areaA + areaB - h*w)
}

// roiAlignDef: mean or maximum of bilinear samples in the cells of each region.
var roiAlignDef = &Def{Name: "RoiAlign", Since: []int{10, 16, 22}, In: []Port{{Name: "X", Type: "T"}, {Name: "rois", Type: "T"}, {Name: "batch_indices", Type: "int64"}}, Out: []Port{{Name: "Y"}},
	Types: map[string]Set{"T": Floats}, Exact: Rounding,
	Attrs: []AttrSpec{{Name: "mode", Type: model.AttrString, Default: "avg", Enum: []string{"avg", "max"}}, {Name: "output_height", Type: model.AttrInt, Default: int64(1)},
		{Name: "output_width", Type: model.AttrInt, Default: int64(1)}, {Name: "sampling_ratio", Type: model.AttrInt, Default: int64(0)},
		{Name: "spatial_scale", Type: model.AttrFloat, Default: float32(1)},
		{Name: "coordinate_transformation_mode", Type: model.AttrString, Enum: []string{"half_pixel", "output_half_pixel"}}},
	Infer: func(f *Inference) error {
		f.Out[0] = model.Type{DType: f.In[0].DType}
		for _, a := range []string{"output_height", "output_width"} {
			if v := f.Int(a); v < 1 || v > 1<<20 {
				return f.BadAttr(a, "is %d", v)
			}
		}
		if v := f.Int("sampling_ratio"); v < 0 || v > 1<<10 {
			return f.BadAttr("sampling_ratio", "is %d", v)
		}
		if err := f.ranked(0, 4, 4); err != nil {
			return err
		}
		if err := f.shaped(1, -1, 4); err != nil {
			return err
		}
		n := model.Sym("")
		if f.In[1].Ranked {
			n = f.In[1].Shape[0]
		}
		if err := f.shaped(2, n.N); err != nil {
			return err
		}
		if f.In[0].Ranked {
			f.Out[0] = model.TensorType(f.In[0].DType, model.Shape{n, f.In[0].Shape[1], model.Fixed(int(f.Int("output_height"))), model.Fixed(int(f.Int("output_width")))})
		}
		return nil
	},
	Eval: func(c *Call) error {
		x, rois := c.In[0], c.In[1]
		n, ch, h, w := rois.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3]
		oh, ow := int(c.Int("output_height")), int(c.Int("output_width"))
		y, err := c.make(x.DType, []int{n, ch, oh, ow})
		if err != nil {
			return err
		}
		c.Out[0] = y
		if y.Len() == 0 {
			return nil
		}
		if h == 0 || w == 0 {
			return c.Bad("the input %v has no pixels", x.Shape)
		}
		// Half a pixel is taken off since opset 16 unless the old way is asked for; regions then may be empty.
		mode := c.Str("coordinate_transformation_mode")
		half := 0.0
		if mode == "half_pixel" || mode == "" && c.Opset >= 16 {
			half = 0.5
		}
		scale, biggest := float64(c.Float("spatial_scale")), c.Str("mode") == "max"
		v := toFloat64(x)
		for r := range n {
			img := c.In[2].Int64At(r)
			if img < 0 || img >= int64(x.Shape[0]) {
				return c.Bad("region %d is of picture %d of %d", r, img, x.Shape[0])
			}
			at := func(i int) float64 { return rois.Float64At(r*4+i)*scale - half }
			x1, y1, rw, rh := at(0), at(1), at(2)-at(0), at(3)-at(1)
			if half == 0 {
				rw, rh = math.Max(rw, 1), math.Max(rh, 1)
			}
			bw, bh := rw/float64(ow), rh/float64(oh)
			sw, sh := int(c.Int("sampling_ratio")), int(c.Int("sampling_ratio"))
			if sw == 0 { // as many samples as pixels under a cell; NaN and huge regions take few
				sw, sh = int(clampNaN(math.Ceil(bw), 0, 1<<12)), int(clampNaN(math.Ceil(bh), 0, 1<<12))
			}
			for k := range ch {
				plane := v[(int(img)*ch+k)*h*w:][:h*w]
				for i := range oh {
					for j := range ow {
						sum, top := 0.0, math.Inf(-1)
						for a := range sh {
							py := y1 + float64(i)*bh + (float64(a)+0.5)*bh/float64(sh)
							for b := range sw {
								px := x1 + float64(j)*bw + (float64(b)+0.5)*bw/float64(sw)
								s, m := roiSample(plane, h, w, py, px)
								sum += s
								top = math.Max(top, m)
							}
						}
						if biggest {
							if sw*sh == 0 {
								top = 0
							}
							y.SetFloat64(((r*ch+k)*oh+i)*ow+j, top)
						} else {
							y.SetFloat64(((r*ch+k)*oh+i)*ow+j, sum/math.Max(1, float64(sw*sh)))
						}
					}
				}
			}
		}
		return nil
	}}

func clampNaN(v, lo, hi float64) float64 {
	if v != v {
		return lo
	}
	return clamp(v, lo, hi)
}

// roiSample is the bilinear value at a place and the largest of its four weighted corners: mode max takes the latter.
func roiSample(p []float64, h, w int, y, x float64) (sum, top float64) {
	if !(y >= -1 && y <= float64(h) && x >= -1 && x <= float64(w)) {
		return 0, 0
	}
	y, x = math.Max(y, 0), math.Max(x, 0)
	y0, x0 := int(y), int(x)
	y1, x1 := y0+1, x0+1
	if y0 >= h-1 {
		y0, y1, y = h-1, h-1, float64(h-1)
	}
	if x0 >= w-1 {
		x0, x1, x = w-1, w-1, float64(w-1)
	}
	ly, lx := y-float64(y0), x-float64(x0)
	a, b := (1-ly)*(1-lx)*p[y0*w+x0], (1-ly)*lx*p[y0*w+x1]
	d, e := ly*(1-lx)*p[y1*w+x0], ly*lx*p[y1*w+x1]
	return a + b + d + e, math.Max(math.Max(a, b), math.Max(d, e))
}
