package app

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"fettle/internal/fail"
)

// TestFoldPreprocess: the model that takes pictures answers as the one that takes what a block made of them.
func TestFoldPreprocess(t *testing.T) {
	ctx, a := context.Background(), open(t)
	dir := t.TempDir()
	m, err := a.Sample("")
	if err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(dir, "plain.onnx")
	if err := a.Save(plain, m); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, c := range []struct{ name, colour string }{{"rgb", "rgb"}, {"bgr", "bgr"}} {
		block := write(c.name+".toml", "size = [32, 32]\nresize = \"bilinear\"\ncrop = \"none\"\ncolour = \""+c.colour+"\"\nscale = 0.00392156862745098\nmean = [0.485, 0.456, 0.406]\nstd = [0.229, 0.224, 0.225]\n")
		folded := filepath.Join(dir, c.name+".onnx")
		if _, err := a.Convert(ctx, ConvertRequest{In: plain, Out: folded, Fold: true, Preprocess: block}); err != nil {
			t.Fatal(err)
		}
		// The folded model brings the block that is left.
		r, err := a.Eval(ctx, EvalRequest{Model: folded, Data: SampleScore, Limit: 40})
		if err != nil {
			t.Fatal(err)
		}
		want, err := a.Eval(ctx, EvalRequest{Model: plain, Data: SampleScore, Limit: 40, Preprocess: block})
		if err != nil {
			t.Fatal(err)
		}
		if *r.Score != *want.Score {
			t.Errorf("%s: %v folded, %v before", c.name, *r.Score, *want.Score)
		}
		pics, err := a.SamplePictures(SampleScore)
		if err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(pics, "*", "*.png"))
		if err != nil || len(files) == 0 {
			t.Fatal(err)
		}
		x, err := a.Run(ctx, RunRequest{Model: plain, Inputs: []string{files[0]}, Preprocess: block, Threads: 1, Fresh: true})
		if err != nil {
			t.Fatal(err)
		}
		y, err := a.Run(ctx, RunRequest{Model: folded, Inputs: []string{files[0]}, Threads: 1, Fresh: true})
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range x.Outputs[0].Values {
			if d := v.(float64) - y.Outputs[0].Values[i].(float64); d > 1e-3 || d < -1e-3 {
				t.Errorf("%s: output %d is %v folded, %v before", c.name, i, y.Outputs[0].Values[i], v)
			}
		}
	}
	gray := write("gray.toml", "size = [32, 32]\nresize = \"none\"\ncrop = \"none\"\ncolour = \"gray\"\nscale = 1.0\nmean = [0.0]\nstd = [1.0]\n")
	if _, err := a.Convert(ctx, ConvertRequest{In: plain, Out: filepath.Join(dir, "x.onnx"), Fold: true, Preprocess: gray}); !fail.Is(err, fail.Unsupported) {
		t.Errorf("gray: %v", err)
	}
}
