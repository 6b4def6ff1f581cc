// Package dataset owns reading data: folders of pictures, sounds or tensors, idx and csv files, as a stream of named
// inputs with labels, each with a hash of its content; and the preprocessing that turns a picture into a tensor,
// decoded as Python pipelines decode it.
//
// It knows nothing of models beyond the types of their inputs, and never guesses preprocessing: without an
// explicit block it says so. Everything read is bounded by a Budget. Start reading at Open.
package dataset

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"image"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"fettle/internal/fail"
	"fettle/model"
)

// Budget bounds what foreign files may cost.
type Budget struct {
	Files  int   // of a folder
	Pixels int   // of one picture
	Bytes  int64 // of one file, unpacked
}

// DefaultBudget allows a million files, pictures of 32 megapixels and files of 256 MiB.
func DefaultBudget() Budget { return Budget{Files: 1 << 20, Pixels: 32 << 20, Bytes: 256 << 20} }

// Options say what the items are for.
type Options struct {
	Inputs     []model.Value // of the model: names, types, layout
	Preprocess *Preprocess   // for pictures; nil: a picture is an error that shows the block to write
	Budget     Budget        // zero: DefaultBudget
}

// Sample is one item: the inputs by name, and the label where there is one.
type Sample struct {
	Index  int
	File   string // relative to the folder, with #n for item n of a file
	Label  int    // index into Classes, -1: none
	Inputs map[string]*model.Tensor
}

// Set is an opened source. It holds names and labels; items are read when asked for.
type Set struct {
	root    string
	opts    Options
	items   []item
	classes []string
	hashes  []string // of the items' content, filled by Hashes
	whole   *table   // a file that holds all items
}

type item struct {
	file  string
	label int
	row   int // of whole
}

// Len is the number of items.
func (s *Set) Len() int { return len(s.items) }

// Classes are the names of the labels, sorted; empty where there are none.
func (s *Set) Classes() []string { return s.classes }

// Labelled reports whether every item has a label.
func (s *Set) Labelled() bool {
	for _, it := range s.items {
		if it.label < 0 {
			return false
		}
	}
	return len(s.items) > 0
}

var pictures = map[string]bool{".png": true, ".jpg": true, ".jpeg": true, ".webp": true, ".bmp": true}
var tensors = map[string]bool{".npy": true, ".npz": true, ".pb": true, ".wav": true}

// Open lists the items of a folder, or of one .npy, .npz, .csv or idx file whose first axis counts items.
// Folders below the first are class folders, unless a labels.csv (file,label) says otherwise. Files of other
// kinds and links are passed over. fail.NotFound where nothing is found, fail.TooBig beyond the budget.
func Open(name string, o Options) (*Set, error) {
	if o.Budget == (Budget{}) {
		o.Budget = DefaultBudget()
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, fail.New(fail.NotFound, "%v", err).Doing("open data").At(fail.Where{File: name})
	}
	s := &Set{root: name, opts: o}
	if info.IsDir() {
		err = s.folder()
	} else if info.Mode().IsRegular() {
		err = s.file()
	} else {
		err = fail.New(fail.Invalid, "is neither a folder nor a regular file")
	}
	if err != nil {
		return nil, fail.In(err, "open data", fail.Where{File: name})
	}
	if len(s.items) == 0 {
		return nil, fail.New(fail.NotFound, "holds no pictures (.png .jpg .webp .bmp), tensors (.npy .npz .pb), sounds (.wav), idx or csv file").
			Doing("open data").At(fail.Where{File: name})
	}
	return s, nil
}

func (s *Set) folder() error {
	root, err := os.OpenRoot(s.root)
	if err != nil {
		return fail.New(fail.Denied, "%v", err)
	}
	defer root.Close()
	var files []string
	seen := 0
	err = fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if seen++; seen > s.opts.Budget.Files {
			return fail.New(fail.TooBig, "holds more than %d files", s.opts.Budget.Files)
		}
		if strings.Count(p, "/") > 16 {
			return fs.SkipDir
		}
		ext := strings.ToLower(path.Ext(p))
		if d.Type().IsRegular() && (pictures[ext] || tensors[ext]) && !strings.HasPrefix(path.Base(p), ".") {
			files = append(files, p)
		}
		return nil
	})
	if err != nil {
		return err
	}
	sort.Strings(files)
	labels, err := s.labels(root, files)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, l := range labels {
		known[l] = true
	}
	for l := range known {
		s.classes = append(s.classes, l)
	}
	sortLabels(s.classes)
	at := map[string]int{}
	for i, c := range s.classes {
		at[c] = i
	}
	for _, f := range files {
		label := -1
		if l, ok := labels[f]; ok {
			label = at[l]
		}
		s.items = append(s.items, item{file: f, label: label})
	}
	return nil
}

// labels reads labels.csv where it is there, else the class folders.
func (s *Set) labels(root *os.Root, files []string) (map[string]string, error) {
	out := map[string]string{}
	f, err := root.Open("labels.csv")
	if err == nil {
		defer f.Close()
		return readLabels(io.LimitReader(f, s.opts.Budget.Bytes), files)
	}
	for _, p := range files {
		if dir, _, ok := strings.Cut(p, "/"); ok {
			out[p] = dir
		}
	}
	return out, nil
}

// sortLabels orders numbers by value and texts by alphabet, so that class "10" follows "9".
func sortLabels(l []string) {
	number := func(s string) (int, bool) {
		n := 0
		for _, c := range []byte(s) {
			if c < '0' || c > '9' || n > 1<<30 {
				return 0, false
			}
			n = n*10 + int(c-'0')
		}
		return n, s != ""
	}
	sort.Slice(l, func(i, j int) bool {
		a, okA := number(l[i])
		b, okB := number(l[j])
		if okA && okB && a != b {
			return a < b
		}
		return l[i] < l[j]
	})
}

// EachSample reads items one after another, at most limit (0: all), spread evenly over the set, so that a few
// items of sorted class folders still cover all classes. The sample is valid until visit returns.
func (s *Set) EachSample(ctx context.Context, limit int, visit func(Sample) error) error {
	return s.eachFrom(ctx, 0, limit, visit)
}

func (s *Set) eachFrom(ctx context.Context, first, limit int, visit func(Sample) error) error {
	n := len(s.items)
	if limit > 0 && limit < n {
		n = limit
	}
	for k := first; k < n; k++ {
		if err := ctx.Err(); err != nil {
			return fail.From(err)
		}
		i := k * len(s.items) / n
		in, err := s.read(s.items[i])
		if err != nil {
			return fail.In(err, "read data", fail.Where{File: filepath.Join(s.root, s.name(i))})
		}
		if err := visit(Sample{Index: i, File: s.name(i), Label: s.items[i].label, Inputs: in}); err != nil {
			return err
		}
	}
	return nil
}

// Each is EachSample without labels; the index counts the items visited.
func (s *Set) Each(ctx context.Context, limit int, visit func(i int, inputs map[string]*model.Tensor) error) error {
	return s.EachFrom(ctx, 0, limit, visit)
}

// EachFrom is Each without the first items, which are not read.
func (s *Set) EachFrom(ctx context.Context, first, limit int, visit func(i int, inputs map[string]*model.Tensor) error) error {
	k := first
	return s.eachFrom(ctx, first, limit, func(x Sample) error {
		k++
		return visit(k-1, x.Inputs)
	})
}

// Split gives every k-th item in held and the others in rest, which share nothing: to tune on and to judge by.
func (s *Set) Split(k int) (rest, held *Set) {
	part := func(in func(i int) bool) *Set {
		out := &Set{root: s.root, opts: s.opts, classes: s.classes, whole: s.whole}
		for i, it := range s.items {
			if !in(i) {
				continue
			}
			out.items = append(out.items, it)
			if s.hashes != nil {
				out.hashes = append(out.hashes, s.hashes[i])
			}
		}
		return out
	}
	return part(func(i int) bool { return i%k != k-1 }), part(func(i int) bool { return i%k == k-1 })
}

// Picture decodes item i as it is, before any preprocessing; nil where the item is no picture.
func (s *Set) Picture(i int) (image.Image, error) {
	if s.whole != nil || !pictures[strings.ToLower(path.Ext(s.items[i].file))] {
		return nil, nil
	}
	b, err := s.bytes(s.items[i])
	if err != nil {
		return nil, err
	}
	p, err := DecodePicture(b, s.opts.Budget.Pixels)
	if err != nil {
		return nil, err
	}
	img := image.NewNRGBA(image.Rect(0, 0, p.W, p.H))
	for i := range p.W * p.H {
		copy(img.Pix[4*i:], p.Pix[3*i:3*i+3])
		img.Pix[4*i+3] = 255
	}
	return img, nil
}

func (s *Set) name(i int) string {
	if s.whole != nil {
		return fmt.Sprintf("#%d", s.items[i].row)
	}
	return s.items[i].file
}

// Hashes gives the SHA-256 of each item's bytes, as hex. They are computed once; a large folder takes seconds.
func (s *Set) Hashes(ctx context.Context) ([]string, error) {
	if s.hashes != nil {
		return s.hashes, nil
	}
	out := make([]string, len(s.items))
	for i, it := range s.items {
		if err := ctx.Err(); err != nil {
			return nil, fail.From(err)
		}
		b, err := s.bytes(it)
		if err != nil {
			return nil, fail.In(err, "read data", fail.Where{File: filepath.Join(s.root, s.name(i))})
		}
		h := sha256.Sum256(b)
		out[i] = hex.EncodeToString(h[:])
	}
	s.hashes = out
	return out, nil
}

// Hash decides what a calibration on this set gives: contents in order, and the preprocessing. A file that
// cannot be read makes a hash that no other set has.
func (s *Set) Hash() string {
	h := sha256.New()
	if s.opts.Preprocess != nil {
		h.Write(s.opts.Preprocess.Format())
	}
	hashes, err := s.Hashes(context.Background())
	if err != nil {
		fmt.Fprint(h, s.root, err)
	}
	for _, x := range hashes {
		fmt.Fprintln(h, x)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Ready reads what Hash needs, which can be cancelled; Hash gives it at once then.
func (s *Set) Ready(ctx context.Context) error {
	_, err := s.Hashes(ctx)
	if err != nil && !fail.Is(err, fail.Cancelled) {
		return nil // Hash says it in its own way
	}
	return err
}

// bytes is the content of an item as it lies on disk.
func (s *Set) bytes(it item) ([]byte, error) {
	if s.whole != nil {
		return s.whole.bytes(it.row), nil
	}
	root, err := os.OpenRoot(s.root)
	if err != nil {
		return nil, fail.New(fail.NotFound, "%v", err)
	}
	defer root.Close()
	f, err := root.Open(filepath.FromSlash(it.file))
	if err != nil {
		return nil, fail.New(fail.NotFound, "%v", err)
	}
	defer f.Close()
	return readAll(f, s.opts.Budget.Bytes)
}

func readAll(f io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fail.New(fail.Corrupt, "%v", err)
	}
	if int64(len(b)) > limit {
		return nil, fail.New(fail.TooBig, "is larger than %d bytes", limit)
	}
	return b, nil
}

func (s *Set) read(it item) (map[string]*model.Tensor, error) {
	if s.whole != nil {
		return s.fit(map[string]*model.Tensor{"": s.whole.row(it.row)}, false)
	}
	b, err := s.bytes(it)
	if err != nil {
		return nil, err
	}
	ext := strings.ToLower(path.Ext(it.file))
	if !pictures[ext] {
		ts, err := ReadTensors(ext, b, s.opts.Budget)
		if err != nil {
			return nil, err
		}
		return s.fit(ts, ext == ".wav")
	}
	if s.opts.Preprocess == nil {
		return nil, NeedsPreprocess()
	}
	if len(s.opts.Inputs) != 1 {
		return nil, fail.New(fail.Invalid, "a picture is one input, the model has %d", len(s.opts.Inputs)).Try("give .npz files with all inputs by name")
	}
	img, err := DecodePicture(b, s.opts.Budget.Pixels)
	if err != nil {
		return nil, err
	}
	t, err := s.opts.Preprocess.Tensor(img, s.opts.Inputs[0])
	if err != nil {
		return nil, err
	}
	return map[string]*model.Tensor{s.opts.Inputs[0].Name: t}, nil
}

// fit gives tensors the names and shapes of the model's inputs: one without a name becomes the only input, one
// that lacks the batch dimension gets it. A sound is cut, or filled with silence, to the length of the input.
func (s *Set) fit(ts map[string]*model.Tensor, sound bool) (map[string]*model.Tensor, error) {
	if len(s.opts.Inputs) == 0 {
		return ts, nil
	}
	if len(ts) == 1 && len(s.opts.Inputs) == 1 {
		for k, t := range ts {
			if k != s.opts.Inputs[0].Name {
				ts = map[string]*model.Tensor{s.opts.Inputs[0].Name: t}
			}
		}
	}
	out := map[string]*model.Tensor{}
	for _, v := range s.opts.Inputs {
		t := ts[v.Name]
		if t == nil {
			return nil, fail.New(fail.Invalid, "holds no value for the input").At(fail.Where{Tensor: v.Name})
		}
		if sound {
			t = lengthen(t, v.Type)
		}
		if v.Type.Ranked && len(t.Shape) == len(v.Type.Shape)-1 {
			t = t.Reshaped(append([]int{1}, t.Shape...)...)
		}
		if err := accepts(v.Type, t); err != nil {
			return nil, fail.In(err, "", fail.Where{Tensor: v.Name})
		}
		out[v.Name] = t
	}
	return out, nil
}

func accepts(want model.Type, t *model.Tensor) error {
	if want.DType != model.Undefined && want.DType != t.DType {
		return fail.New(fail.Invalid, "is %s, the model wants %s", t.DType, want.DType)
	}
	if !want.Ranked {
		return nil
	}
	ok := len(want.Shape) == len(t.Shape)
	for i := 0; ok && i < len(t.Shape); i++ {
		ok = !want.Shape[i].Known() || want.Shape[i].N == t.Shape[i]
	}
	if !ok {
		return fail.New(fail.Invalid, "has shape %v, the model wants %s", t.Shape, want.Shape)
	}
	return nil
}

// Disjoint checks that no item of a is in b, by content: calibrating or training on what scores a model makes
// the score worthless. fail.Invalid names the first item that both hold.
func Disjoint(ctx context.Context, a, b *Set) error {
	ha, err := a.Hashes(ctx)
	if err != nil {
		return err
	}
	hb, err := b.Hashes(ctx)
	if err != nil {
		return err
	}
	where := make(map[string]int, len(ha))
	for i, h := range ha {
		where[h] = i
	}
	both := 0
	first := ""
	for j, h := range hb {
		if i, ok := where[h]; ok {
			if both == 0 {
				first = fmt.Sprintf("%s and %s", filepath.Join(a.root, a.name(i)), filepath.Join(b.root, b.name(j)))
			}
			both++
		}
	}
	if both > 0 {
		return fail.New(fail.Invalid, "%d of %d score items are calibration items too, the first: %s", both, len(hb), first).
			Doing("compare data sets").Try("score on items that were not used for calibration")
	}
	return nil
}
