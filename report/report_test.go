package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	pprof "github.com/google/pprof/profile"

	"fettle/internal/fail"
	"fettle/profiler"
	"fettle/profiler/trace"
)

const hostile = `<script>alert("x")</script>'=HYPERLINK(1)%s&` + "\x1b\u202e"

// measured is a profile by the real rules, of a trace with hostile names.
func measured(t testing.TB, factor int64) *profiler.Profile {
	no, load := false, 0.03
	tr := &trace.Trace{Schema: 1, Model: trace.Model{Name: hostile, SHA256: "ab"}, Target: trace.Target{Name: "pi4 " + hostile, CPU: "Cortex-A72"},
		Runtime: trace.Runtime{Name: "fettle", Version: "0.1"}, Plan: trace.Plan{Threads: 2, Precision: "int8"}}
	for i, n := range []string{hostile, "=1+1", "-cmd", "@x", "卷积", "a,b\"c\nd"} {
		tr.Steps = append(tr.Steps, trace.Step{ID: fmt.Sprint("s", i), Name: n, Op: "Conv", Origin: []string{fmt.Sprint("n", i)}, Kernel: n, DType: "int8", MACs: int64(i) * 1e6})
	}
	for l := range int64(3) {
		c := trace.Conditions{Governor: "ondemand", Throttled: &no, Load: &load}
		x := trace.Launch{LoadNs: 3e6, FirstNs: 4e6, Before: c, After: c, CanaryNs: []int64{1e6, 1e6, 1e6, 1e6}, Memory: trace.Memory{Weights: 1e6, ArenaPlanned: 2e5, RSSPeak: 9e6}}
		for k := range int64(40) {
			row, sum := []int64{}, int64(0)
			for i := range int64(len(tr.Steps)) {
				v := (100_000*(i+1) + 300*l + 37*(k*7%11)) * factor / 10
				row, sum = append(row, v), sum+v
			}
			x.Clean = append(x.Clean, sum+4000+k%5)
			x.Instrumented, x.Whole = append(x.Instrumented, row), append(x.Whole, sum+4100)
		}
		tr.Launches = append(tr.Launches, x)
	}
	tr.Close()
	p, err := profiler.Summarize(tr)
	if err != nil {
		t.Fatal(err)
	}
	p.ID = "0123456789ab"
	return p
}

func compared(t testing.TB) *profiler.Comparison {
	c, err := profiler.Compare(measured(t, 10), measured(t, 8))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// write gives a report. FETTLE_REPORTS=DIR keeps it, to be looked at.
func write(t *testing.T, what string, v any, format, lang string) []byte {
	t.Helper()
	var b bytes.Buffer
	var err error
	switch v := v.(type) {
	case *profiler.Profile:
		err = Profile(&b, v, format, Options{Lang: lang})
	case *profiler.Comparison:
		err = Comparison(&b, v, format, Options{Lang: lang})
	}
	if err != nil {
		t.Fatalf("%s %s: %v", what, format, err)
	}
	if dir := os.Getenv("FETTLE_REPORTS"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, what+"-"+lang+"."+format), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func TestHTML(t *testing.T) {
	for what, v := range map[string]any{"profile": measured(t, 10), "comparison": compared(t), "interrupted": &profiler.Profile{Model: trace.Model{Name: hostile}}} {
		for _, lang := range []string{"en", "zh"} {
			h := string(write(t, what, v, "html", lang))
			if strings.Contains(h, "<script") || strings.ContainsAny(h, "\x1b\u202e") {
				t.Errorf("%s %s: a name came through unescaped", what, lang)
			}
			if !strings.Contains(h, "&lt;script&gt;") {
				t.Errorf("%s %s: the name is not shown", what, lang)
			}
			for _, bad := range []string{"%!", "src=", "href=", "@import", "url(", "ZgotmplZ", "NaN", "%%"} {
				if strings.Contains(h, bad) {
					t.Errorf("%s %s: %q in the page", what, lang, bad)
				}
			}
			if strings.Count(h, "<section") != strings.Count(h, "</section>") || !strings.HasSuffix(strings.TrimSpace(h), "</html>") {
				t.Errorf("%s %s: the page is cut", what, lang)
			}
			if used := regexp.MustCompile(`var\(--(\w+)\)`).FindAllStringSubmatch(h, -1); len(used) == 0 {
				t.Errorf("%s: no colours", what)
			} else {
				for _, u := range used {
					if strings.Count(h, "--"+u[1]+":#") != 2 {
						t.Fatalf("%s: %s is not a colour of both themes", what, u[1])
					}
				}
			}
		}
	}
}

// In the Chinese page no English word of ours is left: the headings, names of facts and verdicts.
func TestChineseIsWhole(t *testing.T) {
	for what, v := range map[string]any{"profile": measured(t, 10), "comparison": compared(t)} {
		h := string(write(t, what, v, "html", "zh"))
		for _, tag := range []string{"th", "dt", "h2"} {
			for _, m := range regexp.MustCompile(`<`+tag+`(?: class="n")?>([^<]*)</`+tag+`>`).FindAllStringSubmatch(h, -1) {
				if !regexp.MustCompile(`\p{Han}|^(p90|p99|n|A|B)$`).MatchString(m[1]) {
					t.Errorf("%s: <%s> says %q", what, tag, m[1])
				}
			}
		}
	}
}

func TestCSV(t *testing.T) {
	p := measured(t, 10)
	rows, err := csv.NewReader(bytes.NewReader(write(t, "profile", p, "csv", "en"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 1+len(p.Layers)+2 {
		t.Fatalf("%d rows", len(rows))
	}
	sum := 0.0
	for _, r := range rows[1 : len(rows)-1] {
		v, err := strconv.ParseFloat(r[8], 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += v
		if r[15] != "" {
			t.Errorf("a floor that nobody knows: %q", r[15])
		}
	}
	if math.Abs(sum-*p.Clean.P50Ns) > 1 {
		t.Errorf("rows add up to %g, the total is %g", sum, *p.Clean.P50Ns)
	}
	c := compared(t)
	crows, err := csv.NewReader(bytes.NewReader(write(t, "comparison", c, "csv", "en"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	sum = 0
	for _, r := range crows[1 : len(crows)-1] {
		v, _ := strconv.ParseFloat(r[7], 64)
		sum += v
	}
	if sum != c.DeltaNs {
		t.Errorf("bars add up to %v, the difference is %v", sum, c.DeltaNs)
	}
	for _, r := range append(rows, crows...) {
		for _, cell := range r {
			if _, err := strconv.ParseFloat(cell, 64); err != nil && cell != "" && strings.ContainsRune("=+-@", rune(cell[0])) {
				t.Errorf("a spreadsheet would run %q", cell)
			}
		}
	}
}

func TestJSONComesBack(t *testing.T) {
	p := measured(t, 10)
	var q profiler.Profile
	if err := json.Unmarshal(write(t, "profile", p, "json", "en"), &q); err != nil {
		t.Fatal(err)
	}
	a, _ := profiler.Compare(p, &q)
	if a == nil || a.DeltaNs != 0 || a.Verdict != profiler.NoDifference {
		t.Errorf("the profile that came back differs: %+v", a)
	}
}

func TestPerfetto(t *testing.T) {
	p := measured(t, 10)
	for what, v := range map[string]any{"profile": p, "comparison": compared(t)} {
		var f struct {
			TraceEvents []struct {
				Ph       string
				TS, Dur  float64
				PID, TID int
			}
		}
		if err := json.Unmarshal(write(t, what, v, "perfetto", "en"), &f); err != nil {
			t.Fatal(err)
		}
		at := map[int]float64{}
		for _, e := range f.TraceEvents {
			if e.Ph == "X" {
				if math.Abs(e.TS-at[e.PID]) > 1e-6 || e.Dur <= 0 {
					t.Errorf("%s: a span at %g, the one before ends at %g", what, e.TS, at[e.PID])
				}
				at[e.PID] = e.TS + e.Dur
			}
		}
		if what == "profile" && math.Abs(at[1]*1e3-*p.Clean.P50Ns) > 1 {
			t.Errorf("spans last %g us", at[1])
		}
	}
}

func TestPprof(t *testing.T) {
	p, c := measured(t, 10), compared(t)
	got, err := pprof.ParseData(write(t, "profile", p, "pprof", "en"))
	if err != nil {
		t.Fatal(err)
	}
	sum := int64(0)
	for _, s := range got.Sample {
		sum += s.Value[0]
		if len(s.Location) != 3 {
			t.Errorf("%d levels", len(s.Location))
		}
	}
	if math.Abs(float64(sum)-*p.Clean.P50Ns) > float64(len(got.Sample)) {
		t.Errorf("samples add up to %d", sum)
	}
	if got, err = pprof.ParseData(write(t, "comparison", c, "pprof", "en")); err != nil {
		t.Fatal(err)
	}
	if err := got.CheckValid(); err != nil || got.SampleType[0].Type != "delta" {
		t.Errorf("%v %v", err, got.SampleType)
	}
}

func TestPicturesAndRefusals(t *testing.T) {
	p := measured(t, 10)
	if b := write(t, "profile", p, "svg", "zh"); !bytes.Contains(b, []byte("<svg")) {
		t.Error("no SVG")
	}
	if b := write(t, "comparison", compared(t), "png", "en"); !bytes.HasPrefix(b, []byte("\x89PNG")) {
		t.Error("no PNG")
	}
	if err := Profile(io.Discard, p, "docx", Options{}); !fail.Is(err, fail.Usage) {
		t.Errorf("docx: %v", err)
	}
	if err := Comparison(io.Discard, compared(t), "html", Options{Lang: "xx"}); !fail.Is(err, fail.Usage) {
		t.Errorf("language xx: %v", err)
	}
	for _, f := range Formats() {
		if f == "pdf" {
			continue // chart tests it
		}
		for _, v := range []any{&profiler.Profile{}, &profiler.Comparison{}} {
			write(t, "empty", v, f, "en")
		}
	}
}
