package report

import (
	"strings"
	"sync"

	"fettle/assets"
	"fettle/profiler"
)

// phrases are those of the window: a page and the window say the same. A test provokes the profiler's sentences and looks for what is
// left in English.
var phrases = sync.OnceValue(func() *assets.Phrases { return assets.NewPhrases(assets.Words("zh")) })

// toChinese translates a sentence of the profiler, and the sentences within it; one that it does not know stays as it is.
func toChinese(s string) string { return phrases().Say(s) }
func each(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = toChinese(s)
	}
	return out
}

// chineseProfile is a copy whose sentences are Chinese.
func chineseProfile(p *profiler.Profile) *profiler.Profile {
	c := *p
	c.Warnings, c.Conditions.Why = each(p.Warnings), each(p.Conditions.Why)
	c.Launches = append([]profiler.LaunchResult(nil), p.Launches...)
	for i := range c.Launches {
		c.Launches[i].Why = toChinese(c.Launches[i].Why)
	}
	return &c
}

// chineseComparison is a copy whose sentences are Chinese.
func chineseComparison(x *profiler.Comparison) *profiler.Comparison {
	c := *x
	c.Conditions, c.Inconclusive = each(x.Conditions), toChinese(x.Inconclusive)
	c.Bars = append([]profiler.Bar(nil), x.Bars...)
	for i := range c.Bars {
		c.Bars[i].Why = strings.Join(each(strings.Split(c.Bars[i].Why, ", ")), ", ")
	}
	return &c
}
