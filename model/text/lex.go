package text

import (
	"strconv"
	"strings"

	"fettle/internal/fail"
)

type tokenKind uint8

const (
	end tokenKind = iota
	word
	quoted
	num
	mark
)

// lexer cuts the text into tokens; after an error it only gives end.
type lexer struct {
	s    string
	at   int // first byte after the token
	from int // first byte of the token
	kind tokenKind
	tok  string
	err  error
}

func (l *lexer) fail(err error) {
	if l.err == nil {
		l.err = fail.In(err, "parse model text", fail.Where{Offset: int64(l.from), HasOff: true})
	}
	l.kind, l.tok = end, ""
}

func (l *lexer) bad(format string, args ...any) { l.fail(fail.New(fail.Invalid, format, args...)) }

func (l *lexer) next() {
	if l.err != nil {
		return
	}
	for l.at < len(l.s) {
		c := l.s[l.at]
		if c == '#' {
			if i := strings.IndexByte(l.s[l.at:], '\n'); i >= 0 {
				l.at += i
			} else {
				l.at = len(l.s)
			}
			continue
		}
		if c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			break
		}
		l.at++
	}
	l.from = l.at
	if l.at == len(l.s) {
		l.kind, l.tok = end, ""
		return
	}
	c := l.s[l.at]
	switch {
	case c == '"':
		l.quoted()
	case wordByte(c, true):
		for l.at < len(l.s) && wordByte(l.s[l.at], false) {
			l.at++
		}
		l.kind, l.tok = word, l.s[l.from:l.at]
	case c >= '0' && c <= '9', (c == '-' || c == '+') && l.at+1 < len(l.s):
		l.at++
		for l.at < len(l.s) && numberByte(l.s[l.at], l.s[l.at-1]) {
			l.at++
		}
		l.kind, l.tok = num, l.s[l.from:l.at]
	case strings.HasPrefix(l.s[l.at:], "=>"):
		l.at += 2
		l.kind, l.tok = mark, "=>"
	case strings.IndexByte("<>()[]{},:=.?@", c) >= 0:
		l.at++
		l.kind, l.tok = mark, string(c)
	default:
		l.bad("unexpected character %q", c)
	}
}

func numberByte(c, before byte) bool {
	switch {
	case c >= '0' && c <= '9', c == '.', c == 'e', c == 'E':
		return true
	case c == '-' || c == '+':
		return before == 'e' || before == 'E'
	}
	return strings.IndexByte("InfNa", c) >= 0 // -Inf, NaN
}

func (l *lexer) quoted() {
	for i := l.at + 1; i < len(l.s); i++ {
		switch l.s[i] {
		case '\\':
			i++
		case '"':
			t, err := strconv.Unquote(l.s[l.at : i+1])
			if err != nil {
				l.bad("bad text %s", l.s[l.at:i+1])
				return
			}
			l.at = i + 1
			l.kind, l.tok = quoted, t
			return
		}
	}
	l.bad("a text is not closed")
}

func (l *lexer) is(m string) bool { return l.kind == mark && l.tok == m }

func (l *lexer) want(m string) {
	if !l.is(m) {
		l.bad("expected %q, found %q", m, l.tok)
		return
	}
	l.next()
}

// word reads a name, quoted or not.
func (l *lexer) word() string {
	if l.kind != word && l.kind != quoted {
		l.bad("expected a name, found %q", l.tok)
		return ""
	}
	t := l.tok
	l.next()
	return t
}

func floating(s string) bool { return strings.ContainsAny(s, ".eEIN") }
