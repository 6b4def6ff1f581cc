package ops

import (
	"math/rand/v2"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
)

func TestEinsum(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	random := func(dims ...int) *model.Tensor {
		x := model.NewTensor(model.Float64, dims...)
		for i := range x.Len() {
			x.SetFloat64(i, r.Float64())
		}
		return x
	}
	of := func(op string, attrs map[string]any, in ...*model.Tensor) *model.Tensor {
		out, err := apply(applied{op: op, attrs: attrs, opset: 17}, in...)
		if err != nil {
			t.Fatal(err)
		}
		return out[0]
	}
	a, b, c := random(3, 4), random(4, 5), random(2, 3, 4)
	for _, k := range []struct {
		eq   string
		in   []*model.Tensor
		want *model.Tensor
	}{
		{"ij,jk->ik", []*model.Tensor{a, b}, of("MatMul", nil, a, b)},
		{"ij,jk", []*model.Tensor{a, b}, of("MatMul", nil, a, b)},
		{" i j , j k -> k i ", []*model.Tensor{a, b}, of("Transpose", nil, of("MatMul", nil, a, b))},
		{"ji", []*model.Tensor{a}, of("Transpose", nil, a)},
		{"bij,jk->bik", []*model.Tensor{c, b}, of("MatMul", nil, c, b)},
		{"...ij,jk->...ik", []*model.Tensor{c, b}, of("MatMul", nil, c, b)},
		{"...ij,...jk->...ik", []*model.Tensor{c, random(1, 4, 2)}, nil},
		{"ij->", []*model.Tensor{a}, of("ReduceSum", map[string]any{"keepdims": 0}, a)},
		{"ij->j", []*model.Tensor{a}, of("ReduceSum", map[string]any{"keepdims": 0}, a, model.Int64s(0))},
		{"ii->i", []*model.Tensor{tensor(model.Float64, []int{2, 2}, 1, 2, 3, 4)}, tensor(model.Float64, []int{2}, 1, 4)},
		{"ii", []*model.Tensor{tensor(model.Float64, []int{2, 2}, 1, 2, 3, 4)}, tensor(model.Float64, nil, 5)},
		{"i,j->ij", []*model.Tensor{tensor(model.Float64, []int{2}, 1, 2), tensor(model.Float64, []int{2}, 3, 4)}, tensor(model.Float64, []int{2, 2}, 3, 4, 6, 8)},
		{"ij,ij,ij->ij", []*model.Tensor{a, a, a}, of("Mul", nil, a, of("Mul", nil, a, a))},
		{"aB->Ba", []*model.Tensor{a}, of("Transpose", nil, a)},
		{",ij->ij", []*model.Tensor{tensor(model.Float64, nil, 2), a}, of("Add", nil, a, a)},
		{"ij,jk->ik", []*model.Tensor{tensor(model.Int32, []int{1, 2}, 3, 4), tensor(model.Int32, []int{2, 1}, 5, 6)}, tensor(model.Int32, []int{1, 1}, 39)},
		{"ij,jk->ik", []*model.Tensor{model.NewTensor(model.Float64, 2, 0), model.NewTensor(model.Float64, 0, 3)}, model.NewTensor(model.Float64, 2, 3)},
	} {
		t.Run(k.eq, func(t *testing.T) {
			got := of("Einsum", map[string]any{"equation": k.eq}, k.in...)
			want := k.want
			if want == nil {
				want = of("MatMul", nil, k.in...)
			}
			near(t, got, want, 1e-12)
		})
	}
	for name, k := range map[string]struct {
		eq string
		in []*model.Tensor
	}{
		"a term too few":              {"ij->i", []*model.Tensor{a, b}},
		"a rank too low":              {"i->i", []*model.Tensor{a}},
		"sizes that differ":           {"ij,ij->ij", []*model.Tensor{a, b}},
		"an output letter of nowhere": {"ij->k", []*model.Tensor{a}},
		"an output letter twice":      {"ij->ii", []*model.Tensor{a}},
		"digits":                      {"i1->i", []*model.Tensor{a}},
		"two ellipses":                {"...i...->i", []*model.Tensor{a}},
		"nothing":                     {"", []*model.Tensor{a}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := apply(applied{op: "Einsum", attrs: map[string]any{"equation": k.eq}}, k.in...)
			refused(t, err, fail.Invalid)
		})
	}
	long := model.NewTensor(model.Float32, 1<<11)
	_, err := apply(applied{op: "Einsum", attrs: map[string]any{"equation": "a,b,c,d,e->"}}, long, long, long, long, long)
	refused(t, err, fail.TooBig)
}
