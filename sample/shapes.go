package sample

import (
	"context"
	_ "embed"

	"fettle/internal/task"
	"fettle/model"
	"fettle/model/onnx"
	"fettle/train"
)

//go:embed shapes.onnx
var shapesFile []byte

// Name of the trained sample.
const Name = "shapes"

// TrainPictures is how many generated pictures the sample was trained on.
const TrainPictures = 4096

// Mean and Std are the preprocessing of the sample, for each channel: (pixel/255 - Mean) / Std.
const (
	Mean = 0.5
	Std  = 0.25
)

// Preprocess is the sample's preprocessing block.
const Preprocess = `size = [32, 32]
resize = "none"
crop = "none"
colour = "rgb"
scale = 0.00392156862745098
mean = [0.5, 0.5, 0.5]
std = [0.25, 0.25, 0.25]
`

// Shapes is the trained sample as its file: made by `go run ./cmd/fettle-train-sample`, never edited.
func Shapes() []byte { return shapesFile }

func shapes() (*model.Model, error) {
	return onnx.Read(shapesFile, "", onnx.DefaultBudget())
}

// untrainedShapes is the sample's topology: a residual network of three stages with 8 classes.
func untrainedShapes() (*model.Model, error) {
	n, x := newNet("shapes", 3, PictureSize, PictureSize)
	x = n.conv(x, 16, cv{k: 3, s: 2, pad: 1, act: "relu"})
	for i, c := range []int{16, 32, 64} {
		scope := []string{"layer1.0", "layer2.0", "layer3.0"}[i]
		n.scope = scope
		s := 1
		if i > 0 {
			s = 2
		}
		y := n.conv(x, c, cv{k: 3, s: s, pad: 1, act: "relu"})
		y = n.conv(y, c, cv{k: 3, pad: 1, gain: 0.4})
		if s == 2 {
			n.scope = scope + ".downsample"
			x = n.conv(x, c, cv{k: 1, s: 2, gain: 0.7})
			n.scope = scope
		}
		x = n.add(y, x, "relu")
	}
	n.scope = ""
	return n.done(n.fc(n.gap(x), len(Classes())))
}

// Tensor is a picture as the sample's input: [3, 32, 32], preprocessed.
func Tensor(s Split, i int) ([]float32, int) {
	img, label := Picture(s, i)
	out := make([]float32, 3*PictureSize*PictureSize)
	for p := range PictureSize * PictureSize {
		for c := range 3 {
			out[c*PictureSize*PictureSize+p] = (float32(img.Pix[4*p+c])/255 - Mean) / Std
		}
	}
	return out, label
}

// Data gives the first n pictures of a split as training data.
func Data(s Split, n int) train.Data {
	d := train.Data{Shape: []int{3, PictureSize, PictureSize}}
	for i := range n {
		t, label := Tensor(s, i)
		d.Items = append(d.Items, t...)
		d.Labels = append(d.Labels, label)
	}
	return d
}

// Train makes the sample anew from its topology and its generated pictures.
func Train(ctx context.Context, o train.Options, pictures int, p task.Progress, each func(train.Report)) (*model.Model, error) {
	m, err := untrainedShapes()
	if err != nil {
		return nil, err
	}
	m, err = train.Fit(ctx, m, Data(TrainSplit, pictures), o, p, each)
	if err != nil {
		return nil, err
	}
	return m.Apply(&model.Patch{Meta: []model.KV{{Key: "fettle.origin", Value: "trained by Fettle on pictures that it generates"},
		{Key: "fettle.preprocess", Value: Preprocess}, {Key: "fettle.labels", Value: "circle,cross,diamond,ring,square,star,stripes,triangle"}}})
}
