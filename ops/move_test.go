package ops

import (
	"fmt"
	"math/rand"
	"testing"

	"fettle/model"
)

// TestMove compares runs, tiles and strides of every width with moving one element at a time.
func TestMove(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	for _, d := range []model.DType{model.Uint8, model.Float16, model.Float32, model.Int64, model.Complex128, model.Int4, model.String} {
		for round := range 60 {
			dims := make([]int, 1+r.Intn(4))
			for i := range dims {
				dims[i] = 1 + r.Intn(40/len(dims))
			}
			x := model.NewTensor(d, dims...)
			for i := range x.Len() {
				if d == model.String {
					x.Strs[i] = fmt.Sprint(i)
				} else {
					x.SetInt64(i, int64(r.Intn(1000)))
				}
			}
			p := pick{src: x, dims: append([]int{}, dims...), strides: strideOf(dims)}
			r.Shuffle(len(dims), func(i, j int) {
				p.dims[i], p.dims[j] = p.dims[j], p.dims[i]
				p.strides[i], p.strides[j] = p.strides[j], p.strides[i]
			})
			for i := range p.dims {
				switch r.Intn(4) {
				case 0: // backwards
					p.start += (p.dims[i] - 1) * p.strides[i]
					p.strides[i] = -p.strides[i]
				case 1: // every second
					p.dims[i] = (p.dims[i] + 1) / 2
					p.strides[i] *= 2
				case 2: // repeated
					p.strides[i] = 0
				}
			}
			got, want := model.NewTensor(d, p.dims...), model.NewTensor(d, p.dims...)
			p.into(got)
			w := newWalk(p.dims, p.strides)
			for i := range want.Len() {
				copyElem(want, i, x, p.start+w.off[0])
				w.next()
			}
			if string(got.Raw) != string(want.Raw) || fmt.Sprint(got.Strs) != fmt.Sprint(want.Strs) {
				t.Fatalf("%s round %d: %v at %v from %d of %v", d, round, p.dims, p.strides, p.start, dims)
			}
		}
	}
}

// BenchmarkMove reports the bytes written a second by operators that only move 64 MB of float32.
func BenchmarkMove(b *testing.B) {
	x := model.NewTensor(model.Float32, 16, 64, 128, 128)
	rows := make([]int64, 1024)
	for i := range rows {
		rows[i] = int64(i*7) % 1024
	}
	for _, c := range []struct {
		name string
		node applied
		in   list
	}{
		{"Transpose/NCHW to NHWC", applied{op: "Transpose", attrs: attrs{"perm": []int64{0, 2, 3, 1}}}, list{x}},
		{"Transpose/NHWC to NCHW", applied{op: "Transpose", attrs: attrs{"perm": []int64{0, 3, 1, 2}}}, list{x.Reshaped(16, 128, 128, 64)}},
		{"Transpose/outer axes", applied{op: "Transpose", attrs: attrs{"perm": []int64{1, 0, 2, 3}}}, list{x}},
		{"Slice/inner", applied{op: "Slice"}, list{x, i64(0), i64(120), i64(3)}},
		{"Slice/backwards", applied{op: "Slice"}, list{x, i64(-1), i64(-1 << 60), i64(3), i64(-1)}},
		{"Gather/rows", applied{op: "Gather"}, list{x.Reshaped(1024, 16384), i64(rows...)}},
		{"Concat/channels", applied{op: "Concat", attrs: attrs{"axis": 1}}, list{x, x}},
		{"Pad/edge", applied{op: "Pad", attrs: attrs{"mode": "edge"}}, list{x, i64(0, 0, 1, 1, 0, 0, 1, 1)}},
		{"Pad/constant", applied{op: "Pad"}, list{x, i64(0, 0, 1, 1, 0, 0, 1, 1)}},
		{"Tile/channels", applied{op: "Tile"}, list{x, i64(1, 2, 1, 1)}},
		{"Expand/last", applied{op: "Expand"}, list{x.Reshaped(16, 64, 128, 128, 1), i64(1, 1, 1, 1, 2)}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				y, err := apply(c.node, c.in...)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(len(y[0].Raw)))
			}
		})
	}
}
