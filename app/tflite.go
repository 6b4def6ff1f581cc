package app

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/model/tflite"
	"fettle/ops"
	"fettle/optimizer"
	"fettle/optimizer/catalog"
)

const tfliteExt = ".tflite"

// isTFLite reports whether the file at path begins as a TensorFlow Lite file.
func isTFLite(path string) bool {
	head, ok := headOf(path, 8)
	return ok && tflite.Is(head)
}

func wantsTFLite(path string) bool { return strings.EqualFold(filepath.Ext(path), tfliteExt) }

// saveTFLite writes m as a TensorFlow Lite file and gives the writer's notes. Open sizes of inputs become 1. Constants are computed and batch
// normalisations folded on the way, as the format's own converter does: delegates know no normalisation.
func saveTFLite(ctx context.Context, path string, m *model.Model) ([]string, error) {
	b, notes, err := encodeTFLite(ctx, m)
	if err != nil {
		return nil, err
	}
	return notes, exportFile(path, b)
}

func encodeTFLite(ctx context.Context, m *model.Model) ([]byte, []string, error) {
	if m.Source == nil || m.Source.Format != "tflite" {
		steps, err := optimizer.Run(ctx, m, &optimizer.Recipe{Schema: 1, Seed: 1, Steps: []optimizer.RecipeStep{{Pass: "eliminate-dead"}, {Pass: "fold-constants"}, {Pass: "fold-batchnorm"}}},
			optimizer.Env{Passes: catalog.Passes()})
		if err != nil {
			return nil, nil, err
		}
		m = steps[len(steps)-1].Model
	}
	inf, _, err := ops.Infer(m, fixed(m.Graph))
	if err != nil {
		return nil, nil, fail.In(err, "convert to TensorFlow Lite", fail.Where{})
	}
	var b bytes.Buffer
	notes, err := tflite.Write(&b, m, tflite.Facts{Types: inf.Types, Consts: inf.Consts})
	return b.Bytes(), notes, err
}
