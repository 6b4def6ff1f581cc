package ops

import (
	"math"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
)

// sameMap fails where m is not a map of these keys and values.
func sameMap(t *testing.T, m, keys, values *model.Tensor) {
	t.Helper()
	if m.DType != model.Map {
		t.Fatalf("got %s, want a map", m.DType)
	}
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	near(t, m.Elems[0], keys, 0)
	near(t, m.Elems[1], values, 0)
}

func TestZipMap(t *testing.T) {
	x := mat([]int{2, 3}, 1, 2, 3, 4, 5, 6)
	out, err := apply(classical("ZipMap", attrs{"classlabels_int64s": []int64{7, -1, 7}}), x)
	if err != nil {
		t.Fatal(err)
	}
	if s := out[0]; s.DType != model.Sequence || s.Elem != model.Map || len(s.Elems) != 2 {
		t.Fatalf("got %s of %d %s", s.DType, len(s.Elems), s.Elem)
	}
	sameMap(t, out[0].Elems[0], i64(-1, 7), vec(2, 3)) // ascending, and of equal labels the last
	sameMap(t, out[0].Elems[1], i64(-1, 7), vec(5, 6))
	if got := model.TypeOf(out[0]).String(); got != "seq(map(int64, float32[]))" {
		t.Errorf("the type is %s", got)
	}
	out, err = apply(classical("ZipMap", attrs{"classlabels_strings": []string{"b", "a"}}), vec(1, 2))
	if err != nil {
		t.Fatal(err)
	}
	sameMap(t, out[0].Elems[0], words("a", "b"), vec(2, 1))
	if out, err = apply(classical("ZipMap", attrs{"classlabels_strings": []string{"b", "a"}}), mat([]int{0, 2})); err != nil || len(out[0].Elems) != 0 {
		t.Errorf("no rows give %v %v", out, err)
	}
	runCases(t, []opCase{
		{name: "two labels for three columns", node: classical("ZipMap", attrs{"classlabels_int64s": []int64{1, 2}}), in: list{x}, refuse: fail.Invalid},
		{name: "no labels", node: classical("ZipMap", nil), in: list{x}, refuse: fail.Invalid},
		{name: "integers", node: classical("ZipMap", attrs{"classlabels_int64s": []int64{1}}), in: list{i64(1)}, refuse: fail.Invalid},
		{name: "a scalar", node: classical("ZipMap", attrs{"classlabels_int64s": []int64{1}}), in: list{mat([]int{}, 1)}, refuse: fail.Invalid},
	})
}

func TestMapsToTensors(t *testing.T) {
	m := mapOf(i64(4, 0, 2), vec(1.5, -2, 3))
	text := mapOf(i64(1, 0), words("12", "-3"))
	dict := mapOf(words("b", "q"), i64(5, 6))
	runCases(t, []opCase{
		{name: "words that are there or not", node: classical("DictVectorizer", attrs{"string_vocabulary": []string{"a", "b", "b"}}), in: list{dict}, want: list{tensor(model.Int64, []int{1, 3}, 0, 5, 5)}},
		{name: "numbers", node: classical("DictVectorizer", attrs{"int64_vocabulary": []int64{2, 3}}), in: list{m}, want: list{mat([]int{1, 2}, 3, 0)}},
		{name: "text is empty where absent", node: classical("DictVectorizer", attrs{"int64_vocabulary": []int64{1, 3}}), in: list{text}, want: list{model.Strings([]string{"12", ""}, 1, 2)}},
		{name: "an empty map", node: classical("DictVectorizer", attrs{"int64_vocabulary": []int64{1}}), in: list{mapOf(i64(), vec())}, want: list{mat([]int{1, 1}, 0)}},
		{name: "keys of another type", node: classical("DictVectorizer", attrs{"int64_vocabulary": []int64{2}}), in: list{dict}, refuse: fail.Invalid},
		{name: "int64 to int64", node: classical("DictVectorizer", attrs{"int64_vocabulary": []int64{2}}), in: list{mapOf(i64(1), i64(1))}, refuse: fail.Invalid},
		{name: "both vocabularies", node: classical("DictVectorizer", attrs{"int64_vocabulary": []int64{2}, "string_vocabulary": []string{"a"}}), in: list{m}, refuse: fail.Invalid},
		{name: "a tensor", node: classical("DictVectorizer", attrs{"int64_vocabulary": []int64{2}}), in: list{i64(1)}, refuse: fail.Invalid},

		{name: "by ascending keys", node: classical("CastMap", nil), in: list{m}, want: list{mat([]int{1, 3}, -2, 3, 1.5)}},
		{name: "to whole numbers", node: classical("CastMap", attrs{"cast_to": "TO_INT64"}), in: list{m}, want: list{tensor(model.Int64, []int{1, 3}, -2, 3, 1)}},
		{name: "to text", node: classical("CastMap", attrs{"cast_to": "TO_STRING"}), in: list{m}, want: list{model.Strings([]string{"-2.000000", "3.000000", "1.500000"}, 1, 3)}},
		{name: "from text", node: classical("CastMap", attrs{"cast_to": "TO_INT64"}), in: list{text}, want: list{tensor(model.Int64, []int{1, 2}, -3, 12)}},
		{name: "by place", node: classical("CastMap", attrs{"map_form": "SPARSE", "max_map": 5}), in: list{m}, want: list{mat([]int{1, 5}, -2, 0, 3, 0, 1.5)}},
		{name: "by place, text", node: classical("CastMap", attrs{"map_form": "SPARSE", "max_map": 3, "cast_to": "TO_STRING"}), in: list{text}, want: list{model.Strings([]string{"-3", "12", "0.f"}, 1, 3)}},
		{name: "a key beyond", node: classical("CastMap", attrs{"map_form": "SPARSE", "max_map": 4}), in: list{m}, refuse: fail.Invalid},
		{name: "a negative key", node: classical("CastMap", attrs{"map_form": "SPARSE", "max_map": 4}), in: list{mapOf(i64(-1), vec(1))}, refuse: fail.Invalid},
		{name: "no room", node: classical("CastMap", attrs{"map_form": "SPARSE", "max_map": 0}), in: list{m}, refuse: fail.Invalid},
		{name: "room beyond all memory", node: classical("CastMap", attrs{"map_form": "SPARSE", "max_map": math.MaxInt}), in: list{m}, refuse: fail.Invalid},
		{name: "words", node: classical("CastMap", nil), in: list{mapOf(i64(1), words("one"))}, refuse: fail.Invalid},
		{name: "keys of text", node: classical("CastMap", nil), in: list{mapOf(words("a"), vec(1))}, refuse: fail.Invalid},
	})
}

// TestMapsGoNowhereElse: operators on tensors and sequences refuse maps and sequences of them.
func TestMapsGoNowhereElse(t *testing.T) {
	m := mapOf(i64(1), vec(1))
	maps := &model.Tensor{DType: model.Sequence, Elem: model.Map, Elems: []*model.Tensor{m}}
	for _, c := range []struct {
		op string
		in list
	}{
		{"Identity", list{m}}, {"Relu", list{m}}, {"SequenceConstruct", list{m}}, {"Optional", list{m}}, {"Shape", list{m}}, {"Size", list{m}},
		{"Identity", list{maps}}, {"SequenceLength", list{maps}}, {"SequenceAt", list{maps, i64(0)}}, {"ConcatFromSequence", list{maps}}, {"SequenceInsert", list{sequenceOf(model.Map), m}},
		{"Optional", list{maps}}, {"OptionalGetElement", list{m}}, {"OptionalHasElement", list{maps}},
	} {
		_, err := apply(applied{op: c.op, attrs: attrs{"axis": 0}}, c.in...)
		if !fail.Is(err, fail.Unsupported) && !fail.Is(err, fail.Invalid) {
			t.Errorf("%s of %s: %v", c.op, model.TypeOf(c.in[0]), err)
		}
	}
}
