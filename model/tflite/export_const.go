package tflite

import (
	"fettle/model"
)

// permute is a constant with its dimensions in another order: dimension i of the result is perm[i] of t.
func permute(t *model.Tensor, perm []int) *model.Tensor {
	size := t.DType.Bits() / 8
	shape, stride := make([]int, len(perm)), make([]int, len(perm))
	own := make([]int, len(perm))
	for i, s := len(perm)-1, 1; i >= 0; i-- {
		own[i] = s
		s *= t.Shape[i]
	}
	for i, p := range perm {
		shape[i], stride[i] = t.Shape[p], own[p]
	}
	out := model.NewTensor(t.DType, shape...)
	at := make([]int, len(perm))
	from := 0
	for i := 0; i+size <= len(out.Raw); i += size {
		copy(out.Raw[i:i+size], t.Raw[from*size:])
		for d := len(perm) - 1; d >= 0; d-- {
			at[d]++
			from += stride[d]
			if at[d] < shape[d] {
				break
			}
			from -= stride[d] * shape[d]
			at[d] = 0
		}
	}
	return out
}

// columns is where each input of a matrix behind a flattened picture comes from: the order H, W, C out of C, H, W.
func columns(chw []int) []int {
	c, h, w := chw[0], chw[1], chw[2]
	out := make([]int, 0, c*h*w)
	for y := range h * w {
		for k := range c {
			out = append(out, k*h*w+y)
		}
	}
	return out
}

// reorder is a matrix with its columns in another order.
func reorder(t *model.Tensor, order []int) *model.Tensor {
	size := t.DType.Bits() / 8
	out := model.NewTensor(t.DType, t.Shape...)
	n := t.Shape[1]
	for r := range t.Shape[0] {
		for i, from := range order {
			copy(out.Raw[(r*n+i)*size:(r*n+i+1)*size], t.Raw[(r*n+from)*size:])
		}
	}
	return out
}

// scaled is a constant of floats times a number.
func scaled(t *model.Tensor, by float32) *model.Tensor {
	out := model.NewTensor(model.Float32, t.Shape...)
	d := model.Data[float32](out)
	for i, v := range model.Data[float32](t) {
		d[i] = v * by
	}
	return out
}
