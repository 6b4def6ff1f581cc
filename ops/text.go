package ops

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"fettle/model"
)

// textOps: operators on strings.
func textOps() []*Def {
	return []*Def{stringNormalizerDef, stringConcatDef, stringSplitDef, regexDef, tfIdfDef}
}

var stringNormalizerDef = &Def{Name: "StringNormalizer", Since: []int{10}, In: []Port{{Name: "X", Type: "string"}}, Out: []Port{{Name: "Y"}},
	Attrs: []AttrSpec{{Name: "case_change_action", Type: model.AttrString, Default: "NONE", Enum: []string{"LOWER", "UPPER", "NONE"}},
		{Name: "is_case_sensitive", Type: model.AttrInt, Default: int64(0)}, {Name: "locale", Type: model.AttrString}, {Name: "stopwords", Type: model.AttrStrings}},
	Infer: func(f *Inference) error {
		f.Out[0] = model.Type{DType: model.String}
		if err := f.ranked(0, 1, 2); err != nil {
			return err
		}
		if s := f.In[0].Shape; f.In[0].Ranked {
			if len(s) == 2 && s[0].Known() && s[0].N != 1 {
				return f.Bad("the input has shape %s, want [C] or [1, C]", s)
			}
			out := append(model.Shape{}, s...)
			out[len(out)-1] = model.Sym("") // stop words go
			f.Out[0] = model.TensorType(model.String, out)
		}
		return nil
	},
	Eval: func(c *Call) error {
		fold := c.Int("is_case_sensitive") == 0
		key := func(s string) string {
			if fold {
				return strings.ToLower(s)
			}
			return s
		}
		stop := map[string]bool{}
		if a := c.Node.Attr("stopwords"); a != nil {
			for _, w := range a.Strings {
				stop[key(string(w))] = true
			}
		}
		out := []string{}
		for _, s := range c.In[0].Strs {
			if stop[key(s)] {
				continue
			}
			switch c.Str("case_change_action") {
			case "LOWER":
				s = strings.ToLower(s)
			case "UPPER":
				s = strings.ToUpper(s)
			}
			out = append(out, s)
		}
		if len(out) == 0 {
			out = []string{""} // the specification's answer where nothing is left
		}
		dims := append([]int{}, c.In[0].Shape...)
		dims[len(dims)-1] = len(out)
		if len(dims) == 2 {
			dims[0] = 1
		}
		c.Out[0] = model.Strings(out, dims...)
		return nil
	}}

var stringConcatDef = &Def{Name: "StringConcat", Since: []int{20}, In: []Port{{Name: "X", Type: "string"}, {Name: "Y", Type: "string"}}, Out: []Port{{Name: "Z"}}, Infer: inferBroadcast,
	Eval: func(c *Call) error {
		dims, sa, sb, err := shapes2(c)
		if err != nil {
			return err
		}
		y, err := c.make(model.String, dims)
		if err != nil {
			return err
		}
		w := newWalk(dims, sa, sb)
		for i := range y.Strs {
			y.Strs[i] = c.In[0].Strs[w.off[0]] + c.In[1].Strs[w.off[1]]
			w.next()
		}
		c.Out[0] = y
		return nil
	}}

// stringSplitDef: parts in a new last dimension, as long as the most parts, filled with "".
var stringSplitDef = &Def{Name: "StringSplit", Since: []int{20}, In: []Port{{Name: "X", Type: "string"}}, Out: []Port{{Name: "Y"}, {Name: "Z", Opt: true}},
	Attrs: []AttrSpec{{Name: "delimiter", Type: model.AttrString}, {Name: "maxsplit", Type: model.AttrInt}},
	Infer: func(f *Inference) error {
		f.Out[0] = model.Type{DType: model.String}
		if f.In[0].Ranked {
			f.Out[0] = model.TensorType(model.String, append(append(model.Shape{}, f.In[0].Shape...), model.Sym("")))
		}
		if len(f.Out) > 1 {
			f.Out[1] = f.In[0]
			f.Out[1].DType = model.Int64
		}
		return nil
	},
	Eval: func(c *Call) error {
		limit := -1
		if a := c.Node.Attr("maxsplit"); a != nil && a.I >= 0 && a.I < 1<<30 {
			limit = int(a.I) + 1
		}
		parts := make([][]string, len(c.In[0].Strs))
		most := 0
		for i, s := range c.In[0].Strs {
			parts[i] = splitText(s, c.Node.Str("delimiter", ""), limit)
			most = max(most, len(parts[i]))
		}
		y, err := c.make(model.String, append(append([]int{}, c.In[0].Shape...), most))
		if err != nil {
			return err
		}
		n, err := c.make(model.Int64, c.In[0].Shape)
		if err != nil {
			return err
		}
		for i, p := range parts {
			copy(y.Strs[i*most:], p)
			n.SetInt64(i, int64(len(p)))
		}
		c.Out[0] = y
		if len(c.Out) > 1 {
			c.Out[1] = n
		}
		return nil
	}}

// splitText splits at sep, at white space where sep is empty, into at most limit parts (negative: any number).
func splitText(s, sep string, limit int) []string {
	if sep != "" {
		if s == "" {
			return nil
		}
		return strings.SplitN(s, sep, limit)
	}
	s = strings.TrimSpace(s)
	var out []string
	for s != "" {
		end := strings.IndexFunc(s, isSpace)
		if end < 0 || limit > 0 && len(out) == limit-1 {
			return append(out, s)
		}
		out = append(out, s[:end])
		s = strings.TrimLeftFunc(s[end:], isSpace)
	}
	return out
}

func isSpace(r rune) bool { return r == ' ' || r >= '\t' && r <= '\r' }

var regexDef = &Def{Name: "RegexFullMatch", Since: []int{20}, In: []Port{{Name: "X", Type: "string"}}, Out: []Port{{Name: "Y"}},
	Attrs: []AttrSpec{{Name: "pattern", Type: model.AttrString, Required: true}},
	Infer: func(f *Inference) error {
		if _, err := fullMatch(f.Str("pattern")); err != nil {
			return f.BadAttr("pattern", "%v", err)
		}
		return inferFlag(f)
	},
	Eval: func(c *Call) error {
		re, err := fullMatch(c.Str("pattern"))
		if err != nil {
			return c.badAttr("pattern", "%v", err)
		}
		y, err := c.make(model.Bool, c.In[0].Shape)
		if err != nil {
			return err
		}
		for i, s := range c.In[0].Strs {
			if utf8.ValidString(s) && re.MatchString(s) {
				y.Raw[i] = 1
			}
		}
		c.Out[0] = y
		return nil
	}}

// fullMatch compiles a pattern of RE2, which is Go's syntax too, so that it has to match all of a string.
func fullMatch(pattern string) (*regexp.Regexp, error) {
	return regexp.Compile(`\A(?:` + pattern + `)\z`)
}

// tfIdfDef counts n-grams of a pool, in each row of the input, with gaps up to max_skip_count.
var tfIdfDef = &Def{Name: "TfIdfVectorizer", Since: []int{9}, In: []Port{{Name: "X", Type: "T"}}, Out: []Port{{Name: "Y"}},
	Types: map[string]Set{"T": Text | Index},
	Attrs: []AttrSpec{{Name: "max_gram_length", Type: model.AttrInt, Required: true}, {Name: "max_skip_count", Type: model.AttrInt, Required: true},
		{Name: "min_gram_length", Type: model.AttrInt, Required: true}, {Name: "mode", Type: model.AttrString, Required: true, Enum: []string{"TF", "IDF", "TFIDF"}},
		{Name: "ngram_counts", Type: model.AttrInts, Required: true}, {Name: "ngram_indexes", Type: model.AttrInts, Required: true},
		{Name: "pool_int64s", Type: model.AttrInts}, {Name: "pool_strings", Type: model.AttrStrings}, {Name: "weights", Type: model.AttrFloats}},
	Infer: func(f *Inference) error {
		f.Out[0] = model.Type{DType: model.Float32}
		if err := f.ranked(0, 0, 2); err != nil {
			return err
		}
		p, err := tfIdfPool(f)
		if err != nil {
			return err
		}
		if s := f.In[0].Shape; f.In[0].Ranked {
			out := model.Shape{model.Fixed(p.width)}
			if len(s) == 2 {
				out = model.Shape{s[0], model.Fixed(p.width)}
			}
			f.Out[0] = model.TensorType(model.Float32, out)
		}
		return nil
	},
	Eval: func(c *Call) error {
		p, err := tfIdfPool(&Inference{Node: c.Node, Def: c.Def, In: []model.Type{model.TypeOf(c.In[0])}})
		if err != nil {
			return err
		}
		x := c.In[0]
		rows, n, dims := 1, x.Len(), []int{p.width}
		if len(x.Shape) == 2 {
			rows, n, dims = x.Shape[0], x.Shape[1], []int{x.Shape[0], p.width}
		}
		y, err := c.make(model.Float32, dims)
		if err != nil {
			return err
		}
		c.Out[0] = y
		if x.Len() == 0 {
			return nil
		}
		words := make([]string, x.Len())
		for i := range words {
			words[i] = word(x, i)
		}
		least, longest, skips := int(c.Int("min_gram_length")), int(c.Int("max_gram_length")), int(c.Int("max_skip_count"))
		for r := range rows {
			row := words[r*n:][:n]
			for skip := range min(skips, n) + 1 {
				step := skip + 1
				for start := range row {
					gram := ""
					for k := range longest {
						at := start + k*step
						if at >= n {
							break
						}
						gram += row[at]
						if k+1 < least || skip > 0 && k == 0 {
							continue // a single word has no gaps: count it once
						}
						if i, ok := p.index[gram]; ok {
							o := r*p.width + p.column[i]
							y.SetFloat64(o, y.Float64At(o)+1)
						}
					}
				}
			}
			for _, i := range p.index {
				o := r*p.width + p.column[i]
				w := 1.0
				if i < len(p.weights) {
					w = float64(p.weights[i])
				}
				count := y.Float64At(o)
				switch c.Str("mode") {
				case "IDF":
					if count > 0 {
						count = w
					}
				case "TFIDF":
					count *= w
				}
				y.SetFloat64(o, count)
			}
		}
		return nil
	}}

// word is an element as a key: with its length, so that no two sequences join to the same text.
func word(x *model.Tensor, i int) string {
	if x.DType == model.String {
		return wordKey(x.Strs[i])
	}
	return wordKey(formatElem(x, i))
}

func wordKey(s string) string { return strconv.Itoa(len(s)) + ":" + s }

// gramPool holds the n-grams of a TfIdfVectorizer.
type gramPool struct {
	index   map[string]int // of the n-gram in ngram_indexes
	column  []int          // of the output
	weights []float32
	width   int
}

func tfIdfPool(f *Inference) (*gramPool, error) {
	least, longest, skips := f.Int("min_gram_length"), f.Int("max_gram_length"), f.Int("max_skip_count")
	if least < 1 || longest < least || longest > 1<<16 || skips < 0 || skips > 1<<30 {
		return nil, f.BadAttr("max_gram_length", "n-grams of %d to %d with gaps of %d", least, longest, skips)
	}
	var words []string
	text := f.Node.Attr("pool_strings")
	if text != nil && len(text.Strings) > 0 {
		if d := f.In[0].DType; d != model.Undefined && d != model.String {
			return nil, f.BadAttr("pool_strings", "is given for an input of %s", d)
		}
		for _, s := range text.Strings {
			words = append(words, wordKey(string(s)))
		}
	} else {
		if f.In[0].DType == model.String {
			return nil, f.BadAttr("pool_strings", "is absent and the input is text")
		}
		for _, v := range f.Ints("pool_int64s") {
			words = append(words, wordKey(strconv.FormatInt(v, 10)))
		}
	}
	p := &gramPool{index: map[string]int{}}
	for _, v := range f.Ints("ngram_indexes") {
		if v < 0 || v >= 1<<24 {
			return nil, f.BadAttr("ngram_indexes", "has %d", v)
		}
		p.column = append(p.column, int(v))
		p.width = max(p.width, int(v)+1)
	}
	if a := f.Node.Attr("weights"); a != nil && len(a.Floats) > 0 {
		if p.weights = a.Floats; len(p.weights) != len(p.column) {
			return nil, f.BadAttr("weights", "has %d numbers for %d n-grams", len(p.weights), len(p.column))
		}
	}
	starts := f.Ints("ngram_counts")
	for n, from := range starts { // where the n-grams of n+1 words begin
		to := int64(len(words))
		if n+1 < len(starts) {
			to = starts[n+1]
		}
		if from < 0 || to < from || to > int64(len(words)) || (to-from)%int64(n+1) != 0 {
			return nil, f.BadAttr("ngram_counts", "%v does not cut a pool of %d into n-grams", starts, len(words))
		}
		for at := from; at < to; at += int64(n + 1) {
			if len(p.index) >= len(p.column) {
				return nil, f.BadAttr("ngram_indexes", "has %d places for more n-grams", len(p.column))
			}
			k := strings.Join(words[at:at+int64(n+1)], "")
			if _, twice := p.index[k]; twice {
				return nil, f.BadAttr("ngram_counts", "an n-gram of %d is twice in the pool", n+1)
			}
			p.index[k] = len(p.index)
		}
	}
	return p, nil
}
