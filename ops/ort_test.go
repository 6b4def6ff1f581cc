package ops

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand"
	"os"
	"os/exec"
	"sort"
	"strconv"
	"strings"
	"testing"

	"fettle/model"
)

// leastCompared is how many random graphs of each operator have to give in ONNX Runtime what they give here;
// FETTLE_ORT_NODES sets another number, and FETTLE_ORT_ONLY takes the operators whose domain:name begins with it alone.
const leastCompared = 20

// contest is how far the comparison of one operator is.
type contest struct {
	def      *Def
	name     string
	tried    int // draws so far: the seed of the next one
	compared int
	refusal  string // the last one by ONNX Runtime
}

// TestAgainstONNXRuntime runs random graphs that the reference kernels take in ONNX Runtime. Where it runs them too, the
// results have to agree. An operator that it compares too few times fails, unless noKernel says why that is so.
func TestAgainstONNXRuntime(t *testing.T) {
	if testing.Short() {
		t.Skip("ONNX Runtime is not run with -short")
	}
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is not installed: operators are not compared with ONNX Runtime")
	}
	if out, err := exec.Command("../scripts/ort/install.sh").CombinedOutput(); err != nil {
		t.Skipf("onnxruntime-node cannot be installed: %s", out)
	}
	least := leastCompared
	if n, err := strconv.Atoi(os.Getenv("FETTLE_ORT_NODES")); err == nil {
		least = n
	}
	var all []*contest
	for _, def := range All() {
		if def.Domain != fusedDomain && strings.HasPrefix(def.Domain+":"+def.Name, os.Getenv("FETTLE_ORT_ONLY")) { // fused ones are held to their expansions
			all = append(all, &contest{def: def, name: def.Domain + ":" + def.Name})
		}
	}
	for round := 0; round < 6; round++ {
		var owner []*contest
		var examples []*example
		var wants [][]*model.Tensor
		for _, c := range all {
			missing := least - c.compared
			if _, excused := noKernel[c.name]; excused && round > 0 {
				missing = 0
			}
			if missing > 0 { // more in later rounds, where most are refused
				missing = missing*(1+round) + 5*round
			}
			for range missing {
				if x, want := c.next(); x != nil {
					owner, examples, wants = append(owner, c), append(examples, x), append(wants, want)
				}
			}
		}
		if len(examples) == 0 {
			break
		}
		for i, r := range inONNXRuntime(t, examples, wants) {
			c := owner[i]
			if r.err != "" {
				c.refusal = r.err
				continue
			}
			c.compared++
			for k, got := range r.outputs {
				compare := differs
				if draws(examples[i]) {
					compare = drawnOtherwise
				}
				if why := compare(r.wants[k], got); why != "" {
					t.Errorf("value %d: %s\n%s", k, why, examples[i])
				}
			}
		}
	}
	report(t, all, least)
}

func report(t *testing.T, all []*contest, least int) {
	t.Helper()
	total, none := 0, 0
	sort.SliceStable(all, func(i, j int) bool { return all[i].compared < all[j].compared })
	for _, c := range all {
		total += c.compared
		why, excused := noKernel[c.name]
		switch {
		case excused && c.compared >= leastCompared:
			t.Errorf("%s is compared %d times: it has no place in noKernel", c.name, c.compared)
		case excused:
			none++
			t.Logf("%s: compared %d times: %s", c.name, c.compared, why)
		case c.compared < least:
			t.Errorf("%s: compared %d times of %d drawn, want %d; last refusal: %.300s", c.name, c.compared, c.tried, least, c.refusal)
		}
	}
	t.Logf("%d graphs of %d operators compared; %d operators are excused", total, len(all)-none, none)
}

// next draws a graph that runs here and whose result is defined; nil after many that do not.
func (c *contest) next() (*example, []*model.Tensor) {
	h := fnv.New64a()
	h.Write([]byte("ort" + c.def.Domain + c.def.Name))
	for range 40 {
		d := &draw{r: rand.New(rand.NewSource(int64(h.Sum64()) + int64(c.tried))), tame: true}
		c.tried++
		x := d.example(c.def)
		if make := composed[c.name]; make != nil {
			x = make(d)
		}
		if x == nil || len(x.node.Outputs) == 0 {
			continue
		}
		if want, err := evaluated(x); err == nil && expressible(x, want) && !otherwise(x) {
			return x, want
		}
	}
	return nil, nil
}

// differs compares floats to a part in a thousand, halves to their rounding, and everything else exactly.
func differs(got, want *model.Tensor) string {
	if got.DType != want.DType || !sameDims(got.Shape, want.Shape) {
		return fmt.Sprintf("%s%v, ONNX Runtime gives %s%v", got.DType, got.Shape, want.DType, want.Shape)
	}
	near, part := 1e-5, 1e-3
	switch want.DType {
	case model.Float16:
		near, part = 2e-3, 4e-3
	case model.BFloat16:
		near, part = 1e-2, 2e-2
	}
	for i := range want.Len() {
		switch {
		case want.DType == model.String:
			if got.Strs[i] != want.Strs[i] {
				return fmt.Sprintf("element %d is %q, ONNX Runtime gives %q", i, got.Strs[i], want.Strs[i])
			}
		case !want.DType.Float():
			if a, b := got.Int64At(i), want.Int64At(i); a != b {
				return fmt.Sprintf("element %d is %d, ONNX Runtime gives %d", i, a, b)
			}
		default:
			a, b := got.Float64At(i), want.Float64At(i)
			if a != b && !(math.IsNaN(a) && math.IsNaN(b)) && !(math.Abs(a-b) <= near+part*math.Abs(b)) {
				return fmt.Sprintf("element %d is %g, ONNX Runtime gives %g", i, a, b)
			}
		}
	}
	return ""
}

// drawnOtherwise compares draws of another generator: type and shape, and the mean where there are enough numbers for
// one. Six deviations of the difference of two means are a false alarm once in 500 million.
func drawnOtherwise(got, want *model.Tensor) string {
	if got.DType != want.DType || !sameDims(got.Shape, want.Shape) {
		return fmt.Sprintf("%s%v, ONNX Runtime gives %s%v", got.DType, got.Shape, want.DType, want.Shape)
	}
	n := float64(want.Len())
	if n < 16 {
		return ""
	}
	moment := func(t *model.Tensor) (mean, variance float64) {
		v := toFloat64(t)
		for _, x := range v {
			mean += x / n
		}
		for _, x := range v {
			variance += (x - mean) * (x - mean) / (n - 1)
		}
		return mean, variance
	}
	a, va := moment(got)
	b, vb := moment(want)
	if math.Abs(a-b) > 6*math.Sqrt((va+vb)/n)+1e-6 {
		return fmt.Sprintf("the mean of %g numbers is %g, in ONNX Runtime it is %g", n, a, b)
	}
	return ""
}
