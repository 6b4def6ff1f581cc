package ops

import (
	"testing"

	"fettle/internal/fail"
	"fettle/model"
)

func TestText(t *testing.T) {
	s := func(v ...string) *model.Tensor { return model.Strings(v, len(v)) }
	for _, c := range []struct {
		name string
		run  applied
		in   []*model.Tensor
		want []*model.Tensor
	}{
		{"normalizer drops words in any case", applied{op: "StringNormalizer", attrs: map[string]any{"stopwords": []string{"MONDAY"}}}, []*model.Tensor{s("Monday", "tuesday")}, []*model.Tensor{s("tuesday")}},
		{"normalizer minds the case", applied{op: "StringNormalizer", attrs: map[string]any{"stopwords": []string{"MONDAY"}, "is_case_sensitive": 1, "case_change_action": "UPPER"}},
			[]*model.Tensor{s("Monday", "ähre")}, []*model.Tensor{s("MONDAY", "ÄHRE")}},
		{"normalizer with nothing left", applied{op: "StringNormalizer", attrs: map[string]any{"stopwords": []string{"a"}}}, []*model.Tensor{model.Strings([]string{"a", "A"}, 1, 2)}, []*model.Tensor{model.Strings([]string{""}, 1, 1)}},
		{"concat broadcasts", applied{op: "StringConcat"}, []*model.Tensor{model.Strings([]string{"a", "b"}, 2, 1), s("x", "y")}, []*model.Tensor{model.Strings([]string{"ax", "ay", "bx", "by"}, 2, 2)}},
		{"split at white space", applied{op: "StringSplit", outs: 2}, []*model.Tensor{s(" a  b ", "", "c")}, []*model.Tensor{model.Strings([]string{"a", "b", "", "", "c", ""}, 3, 2), tensor(model.Int64, []int{3}, 2, 0, 1)}},
		{"split at a sign keeps empty parts", applied{op: "StringSplit", outs: 2, attrs: map[string]any{"delimiter": ","}}, []*model.Tensor{s("a,,b")}, []*model.Tensor{model.Strings([]string{"a", "", "b"}, 1, 3), tensor(model.Int64, []int{1}, 3)}},
		{"split once", applied{op: "StringSplit", outs: 2, attrs: map[string]any{"maxsplit": 1}}, []*model.Tensor{s("a b  c")}, []*model.Tensor{model.Strings([]string{"a", "b  c"}, 1, 2), tensor(model.Int64, []int{1}, 2)}},
		{"a pattern matches all of it", applied{op: "RegexFullMatch", attrs: map[string]any{"pattern": `a|ab`}}, []*model.Tensor{s("ab", "abc", "a", "ab\n")}, []*model.Tensor{tensor(model.Bool, []int{4}, 1, 0, 1, 0)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := apply(c.run, c.in...)
			if err != nil {
				t.Fatal(err)
			}
			for i, w := range c.want {
				near(t, got[i], w, 0)
			}
		})
	}
	_, err := apply(applied{op: "RegexFullMatch", attrs: map[string]any{"pattern": "("}}, s("a"))
	refused(t, err, fail.Invalid)
	_, err = apply(applied{op: "StringNormalizer"}, model.Strings([]string{"a", "b"}, 2, 1))
	refused(t, err, fail.Invalid)
}

func TestTfIdf(t *testing.T) {
	attrs := func(more map[string]any) map[string]any {
		a := map[string]any{"mode": "TF", "min_gram_length": 1, "max_gram_length": 2, "max_skip_count": 1, "ngram_counts": []int64{0, 2}, "ngram_indexes": []int64{2, 0, 1},
			"pool_int64s": []int64{5, 6, 5, 6}}
		for k, v := range more {
			a[k] = v
		}
		return a
	}
	x := model.Int64s(5, 7, 6, 5, 6)
	for _, c := range []struct {
		name string
		more map[string]any
		x    *model.Tensor
		want *model.Tensor
	}{
		{"words once, pairs with gaps", nil, x, vec(2, 2, 2)}, // 6 twice; 5 _ 6 and 5 6; 5 twice
		{"pairs only", map[string]any{"min_gram_length": 2}, x, vec(0, 2, 0)},
		{"weights", map[string]any{"mode": "TFIDF", "weights": []float32{10, 100, 0.5}}, x, vec(200, 1, 20)},
		{"presence", map[string]any{"mode": "IDF", "weights": []float32{10, 100, 0.5}}, model.Int64s(5), vec(0, 0, 10)},
		{"a batch", nil, tensor(model.Int64, []int{2, 1}, 5, 6), tensor(model.Float32, []int{2, 3}, 0, 0, 1, 1, 0, 0)},
		{"text", map[string]any{"pool_strings": []string{"a", "b", "a", "b"}}, model.Strings([]string{"a", "b"}, 2), vec(1, 1, 1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := apply(applied{op: "TfIdfVectorizer", attrs: attrs(c.more)}, c.x)
			if err != nil {
				t.Fatal(err)
			}
			near(t, got[0], c.want, 0)
		})
	}
	for name, more := range map[string]map[string]any{
		"a pool that is cut outside": {"ngram_counts": []int64{0, 9}},
		"half a pair":                {"pool_int64s": []int64{5, 6, 5}},
		"places for fewer":           {"ngram_indexes": []int64{0}},
		"a negative place":           {"ngram_indexes": []int64{0, -1, 1}},
		"grams of no words":          {"min_gram_length": 0},
		"weights for fewer":          {"weights": []float32{1}},
		"an unknown mode":            {"mode": "SUM"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := apply(applied{op: "TfIdfVectorizer", attrs: attrs(more)}, x)
			refused(t, err, fail.Invalid)
		})
	}
}
