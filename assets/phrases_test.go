package assets

import "testing"

func TestSay(t *testing.T) {
	p := NewPhrases(map[string]string{
		"the load is %s a core":     "每核负载 %s",
		"stop other programs":       "关闭其他程序",
		"%d of %d launches were %s": "%[2]d 次启动中 %[1]d 次%[3]s",
		"tainted":                   "被污染",
		"%s on %s":                  "%s，在 %s 上",
		"%s":                        "坏",
		"drift of %s %%":            "漂移 %s %%",
		"%.0f %% for %d launches":   "%.0f %%，共 %d 次启动",
		"%s in %d of %d blocks":     "%[2]d / %[3]d 个模块用 %[1]s",
	})
	for _, c := range []struct{ name, in, want string }{
		{"pattern", "the load is 0.12 a core", "每核负载 0.12"},
		{"parts", "the load is 0.12 a core; stop other programs", "每核负载 0.12；关闭其他程序"},
		{"order and a known word", "1 of 3 launches were tainted", "3 次启动中 1 次被污染"},
		{"percent", "drift of 2.5 %", "漂移 2.5 %"},
		{"percent before a letter", "3 % for 8 launches", "3 %，共 8 次启动"},
		{"a list", "thin, if at all in 1 of 3 blocks", "1 / 3 个模块用 thin, if at all"},
		{"a list of one pattern", "none in 1 of 3 blocks, thin in 2 of 3 blocks", "1 / 3 个模块用 none，2 / 3 个模块用 thin"},
		{"a key that is only verbs matches nothing", "kernel on core", "kernel on core"},
		{"unknown stays", "int8, something new", "int8, something new"},
		{"empty", "", ""},
	} {
		if got := p.Say(c.in); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if got := NewPhrases(nil).Say("in English; nothing changes"); got != "in English; nothing changes" {
		t.Errorf("without translations: %q", got)
	}
}

// A number at the end of a pattern does not swallow the sentences behind it.
func TestSayStopsAtNumbers(t *testing.T) {
	p := NewPhrases(map[string]string{"%s before, %s after step %d": "之前 %s，第 %[3]d 步后 %[2]s", "%d items seen, %.0f a second": "共 %d 项，每秒 %.0f 项"})
	if got, want := p.Say("KL 1.9 before, KL 0.4 after step 24; 1384 items seen, 103 a second"), "之前 KL 1.9，第 24 步后 KL 0.4；共 1384 项，每秒 103 项"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
