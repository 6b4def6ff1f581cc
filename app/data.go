package app

import (
	"context"
	"fmt"
	"image/png"
	"os"
	"path/filepath"

	"fettle/dataset"
	"fettle/internal/fail"
	"fettle/model"
	"fettle/sample"
)

// The pictures of the built-in sample, given where a folder of data is expected.
const (
	SampleCalibrate = "sample:calibrate" // 256 pictures, to calibrate on
	SampleScore     = "sample:score"     // 512 others, to score on
)

// readSmall reads a file of at most limit bytes.
func readSmall(path string, limit int64) ([]byte, error) {
	st, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fail.New(fail.NotFound, "%v", err).At(fail.Where{File: path}).Try("check the path")
	case !st.Mode().IsRegular():
		return nil, fail.New(fail.Invalid, "it is no regular file").At(fail.Where{File: path})
	case st.Size() > limit:
		return nil, fail.New(fail.TooBig, "it has %d bytes, at most %d are read", st.Size(), limit).At(fail.Where{File: path})
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fail.New(fail.Denied, "%v", err).At(fail.Where{File: path})
	}
	return b, nil
}

// preprocessOf is the block to use: the file given, else the model's own; for the built-in pictures the sample's.
func preprocessOf(m *model.Model, file string, data ...string) (*dataset.Preprocess, error) {
	text, what := []byte(m.Meta(dataset.MetadataKey)), "read the model's preprocessing"
	if file != "" {
		b, err := readSmall(file, 1<<20)
		if err != nil {
			return nil, err
		}
		text, what = b, "read preprocessing"
	}
	for _, d := range data {
		if len(text) == 0 && (d == SampleCalibrate || d == SampleScore) {
			text = []byte(sample.Preprocess)
		}
	}
	if len(text) == 0 {
		return nil, nil
	}
	p, err := dataset.ParsePreprocess(text)
	if err != nil {
		return nil, fail.In(err, what, fail.Where{File: file})
	}
	return p, nil
}

// openData opens a folder, a file, or the sample's own pictures.
func (a *App) openData(path string, m *model.Model, pre *dataset.Preprocess) (*dataset.Set, error) {
	if path == SampleCalibrate || path == SampleScore {
		dir, err := a.SamplePictures(path)
		if err != nil {
			return nil, err
		}
		path = dir
	}
	set, err := dataset.Open(path, dataset.Options{Inputs: m.Graph.Free(), Preprocess: pre})
	if err != nil {
		return nil, fail.In(err, "open data", fail.Where{File: path})
	}
	return set, nil
}

// compareData refuses data that both tunes and judges, and says where what judges looks unlike what tunes.
func (a *App) compareData(ctx context.Context, data, score string, m *model.Model, pre *dataset.Preprocess) ([]string, error) {
	tune, err := a.openData(data, m, pre)
	if err != nil {
		return nil, err
	}
	judge, err := a.openData(score, m, pre)
	if err != nil {
		return nil, err
	}
	if err := dataset.Disjoint(ctx, tune, judge); err != nil {
		return nil, err
	}
	return dataset.Coverage(ctx, tune, judge)
}

// SamplePictures gives the folder of SampleCalibrate or SampleScore, with a folder a class; it is made on first use.
func (a *App) SamplePictures(which string) (string, error) {
	dir := filepath.Join(a.home, "cache", "sample-"+Version, filepath.Base(which[len("sample:"):]))
	if _, err := os.Stat(filepath.Join(dir, "done")); err == nil {
		return dir, nil
	}
	split, n := sample.CalibrateSplit, 256
	if which == SampleScore {
		split, n = sample.ScoreSplit, 512
	}
	if err := a.ensureHome(); err != nil {
		return "", err
	}
	if err := WriteSamplePictures(dir, split, n); err != nil {
		return "", err
	}
	return dir, atomicWrite(filepath.Join(dir, "done"), nil)
}

// WriteSamplePictures writes the first n pictures of a split as PNG into class folders.
func WriteSamplePictures(dir string, split sample.Split, n int) error {
	classes := sample.Classes()
	for i := range n {
		img, label := sample.Picture(split, i)
		folder := filepath.Join(dir, classes[label])
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return fail.New(fail.Denied, "%v", err).Try("choose a folder that can be written")
		}
		f, err := os.Create(filepath.Join(folder, fmt.Sprintf("%04d.png", i)))
		if err != nil {
			return fail.New(fail.Denied, "%v", err).Try("choose a folder that can be written")
		}
		err = png.Encode(f, img)
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return fail.New(fail.Denied, "%v", err).Try("check the free space of the disk")
		}
	}
	return nil
}
