package assets

import (
	"regexp"
	"slices"
	"sort"
	"strings"
)

// Phrases translate sentences that were put together elsewhere, in English: reasons of a seal, findings of a check-up,
// what a move did. A key of the translations with verbs in it is a pattern: "load %s a core" translates "load 0.12 a core".
type Phrases struct {
	exact    map[string]string
	patterns []phrase
}

type phrase struct {
	match *regexp.Regexp
	to    string
}

var verb = regexp.MustCompile(`%(?:\[(\d+)\])?[-+# 0]*[\d.]*[sdqvgfeEGxX]`)

// numeral is what a verb of a number printed: a sentence that goes on behind it is another one.
const numeral = `([-+−]?\d[\d.,]*(?:e[-+]?\d+)?|NaN|[-+]Inf)`

// NewPhrases reads a table of translations, as Words gives it.
func NewPhrases(words map[string]string) *Phrases {
	p := &Phrases{exact: words}
	keys := make([]string, 0, len(words))
	for k := range words {
		// A key that is little more than its verbs would match everything.
		if rest := verb.ReplaceAllString(hidden(k), ""); verb.MatchString(hidden(k)) && len(strings.TrimSpace(rest)) >= 6 {
			keys = append(keys, k)
		}
	}
	// The most specific first: much text, then few verbs.
	sort.Slice(keys, func(a, b int) bool {
		x, y := len(verb.ReplaceAllString(hidden(keys[a]), "")), len(verb.ReplaceAllString(hidden(keys[b]), ""))
		return x > y || x == y && keys[a] < keys[b]
	})
	for _, key := range keys {
		var b strings.Builder
		at, k := 0, hidden(key)
		for _, m := range verb.FindAllStringIndex(k, -1) {
			b.WriteString(regexp.QuoteMeta(shown(k[at:m[0]])))
			if strings.ContainsRune("dfgeEG", rune(k[m[1]-1])) {
				b.WriteString(numeral)
			} else {
				b.WriteString("(.+?)")
			}
			at = m[1]
		}
		b.WriteString(regexp.QuoteMeta(shown(k[at:])))
		p.patterns = append(p.patterns, phrase{regexp.MustCompile("^" + b.String() + "$"), hidden(words[key])})
	}
	return p
}

// hidden takes the percent signs out of a key's way: "%% for" would read as the verb "% f". shown prints them.
func hidden(k string) string { return strings.ReplaceAll(k, "%%", "\x00") }
func shown(k string) string  { return strings.ReplaceAll(k, "\x00", "%") }

// between are what parts of a sentence stand between.
func between() []struct{ from, to string } {
	return []struct{ from, to string }{{"; ", "；"}, {", ", "，"}}
}

// Say translates a sentence, or the parts of it between semicolons and commas; what has no translation stays as it is.
func (p *Phrases) Say(text string) string {
	if t, ok := p.one(text); ok {
		return t
	}
	for _, sep := range between() {
		parts := strings.Split(text, sep.from)
		if len(parts) < 2 {
			continue
		}
		known := false
		out := slices.Clone(parts)
		for i := range parts {
			out[i] = p.Say(parts[i])
			known = known || out[i] != parts[i]
		}
		if known {
			return strings.Join(out, sep.to)
		}
	}
	return text
}

func (p *Phrases) one(text string) (string, bool) {
	if t, ok := p.exact[text]; ok {
		return t, true
	}
	for _, f := range p.patterns {
		got := f.match.FindStringSubmatch(text)
		if got == nil {
			continue
		}
		if t, ok := p.list(text, f); ok {
			return t, true
		}
		n := 0
		out := verb.ReplaceAllStringFunc(f.to, func(v string) string {
			n++
			k := n
			if m := verb.FindStringSubmatch(v); m[1] != "" {
				k = int(m[1][0] - '0')
			}
			if k < len(got) {
				return p.Say(got[k]) // what stands in a sentence may be words as well
			}
			return v
		})
		return shown(out), true
	}
	return text, false
}

// list translates a list of sentences of one pattern, whose first verb would take all but the last of them: "a in 1 of 3, b in 2 of 3".
func (p *Phrases) list(text string, f phrase) (string, bool) {
	for _, sep := range between() {
		parts := strings.Split(text, sep.from)
		if len(parts) < 2 || slices.ContainsFunc(parts, func(s string) bool { return !f.match.MatchString(s) }) {
			continue
		}
		for i := range parts {
			parts[i] = p.Say(parts[i])
		}
		return strings.Join(parts, sep.to), true
	}
	return "", false
}
