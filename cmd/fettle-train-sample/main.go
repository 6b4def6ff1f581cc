// Command fettle-train-sample makes sample/shapes.onnx, the network that comes with Fettle, from nothing: topology and
// pictures are generated, the seed is fixed. Run it from the root of the repository; it takes some minutes.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"fettle/model/onnx"
	"fettle/sample"
	"fettle/train"
)

func main() {
	out := flag.String("o", "sample/shapes.onnx", "file to write")
	o := train.NewOptions()
	o.Epochs, o.Batch, o.Rate = 16, 32, 0.03
	flag.IntVar(&o.Epochs, "epochs", o.Epochs, "passes over the pictures")
	n := flag.Int("pictures", sample.TrainPictures, "pictures to train on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	m, err := sample.Train(ctx, o, *n, nil, func(r train.Report) {
		fmt.Printf("epoch %2d  loss %.4f  right %.1f %%\n", r.Epoch+1, r.Loss, 100*r.Accuracy)
	})
	if err == nil {
		err = onnx.WriteFile(*out, m)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "fettle-train-sample:", err)
		os.Exit(1)
	}
}
