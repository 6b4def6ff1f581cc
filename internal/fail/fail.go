// Package fail owns the typed error of Fettle: what failed, why, where, and what to do about it.
//
// It knows no other package. Construct an error at the spot that knows most, wrap it with In on the
// way up to add where it happened, and show it once at the top. Start reading at Error.
package fail

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Kind says what sort of failure it is; it decides the exit code of the command line.
type Kind string

// The kinds of failure.
const (
	Invalid     Kind = "invalid"     // the input is wrong: a file, an attribute, an option
	Usage       Kind = "usage"       // the command or call was wrong
	Unsupported Kind = "unsupported" // Fettle does not do this; names the operator or feature
	NotFound    Kind = "not-found"   // a named thing is not there
	Unreachable Kind = "unreachable" // a board or network did not answer in time
	Denied      Kind = "denied"      // permission, authentication or host key refused
	Corrupt     Kind = "corrupt"     // data changed or was cut on its way
	TooBig      Kind = "too-big"     // a budget was exceeded
	Busy        Kind = "busy"        // somebody else holds it
	NoSpace     Kind = "no-space"    // a disk is full
	Cancelled   Kind = "cancelled"   // the user or a deadline stopped it
	Failed      Kind = "failed"      // the answer is no: a check or a goal failed
	Internal    Kind = "internal"    // a bug in Fettle
)

// Where is the structured place of a failure. Empty fields are not printed.
type Where struct {
	File   string // path as the user gave it
	Offset int64  // byte offset in File; printed only when HasOff is set
	HasOff bool
	Field  string // field path inside the file, for example graph.node[3].attribute
	Node   string // node id
	Op     string // operator type
	Attr   string // attribute name
	Tensor string // tensor or value name
	Board  string // target name
	Option string // option of a pass or a command
}

// Error is a failure with what, why and fix. The zero value is not valid; use the constructors.
type Error struct {
	Kind  Kind
	What  string // what failed, a short phrase: "open resnet.onnx"
	Why   string // why: "tensor conv1.weight is cut after 120 of 9408 bytes"
	Fix   string // what to do, or what was checked
	Where Where
	Err   error // the cause, if it came from elsewhere
}

// New makes an error of kind k that says why; What and Fix may be added with Doing and Try.
func New(k Kind, format string, args ...any) *Error {
	e := &Error{Kind: k, Why: fmt.Sprintf(format, args...)}
	for _, a := range args {
		if err, ok := a.(error); ok {
			e.Err = err
		}
	}
	return e
}

// Doing sets what was being done.
func (e *Error) Doing(format string, args ...any) *Error {
	c := *e
	c.What = fmt.Sprintf(format, args...)
	return &c
}

// Try sets what the user can do.
func (e *Error) Try(format string, args ...any) *Error {
	c := *e
	c.Fix = fmt.Sprintf(format, args...)
	return &c
}

// At sets the place; fields already set stay.
func (e *Error) At(w Where) *Error {
	c := *e
	c.Where = merge(c.Where, w)
	return &c
}

// Error prints "what: where: why; fix" in one line.
func (e *Error) Error() string {
	var b strings.Builder
	if e.What != "" {
		b.WriteString(e.What)
		b.WriteString(": ")
	}
	if p := e.Where.String(); p != "" {
		b.WriteString(p)
		b.WriteString(": ")
	}
	b.WriteString(e.Why)
	if e.Fix != "" {
		b.WriteString("; ")
		b.WriteString(e.Fix)
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// String prints the set fields in a fixed order.
func (w Where) String() string {
	var p []string
	add := func(format, v string) {
		if v != "" {
			p = append(p, fmt.Sprintf(format, v))
		}
	}
	add("%s", w.File)
	if w.HasOff {
		p = append(p, fmt.Sprintf("offset %d", w.Offset))
	}
	add("field %s", w.Field)
	switch {
	case w.Node != "" && w.Op != "":
		p = append(p, fmt.Sprintf("node %q (%s)", w.Node, w.Op))
	case w.Node != "":
		p = append(p, fmt.Sprintf("node %q", w.Node))
	case w.Op != "":
		p = append(p, fmt.Sprintf("operator %s", w.Op))
	}
	add("attribute %s", w.Attr)
	add("tensor %q", w.Tensor)
	add("board %s", w.Board)
	add("option %s", w.Option)
	return strings.Join(p, ", ")
}

// merge keeps what inner says and fills its gaps from outer.
func merge(inner, outer Where) Where {
	fill := func(dst *string, v string) {
		if *dst == "" {
			*dst = v
		}
	}
	fill(&inner.File, outer.File)
	if !inner.HasOff && outer.HasOff {
		inner.Offset, inner.HasOff = outer.Offset, true
	}
	fill(&inner.Field, outer.Field)
	fill(&inner.Node, outer.Node)
	fill(&inner.Op, outer.Op)
	fill(&inner.Attr, outer.Attr)
	fill(&inner.Tensor, outer.Tensor)
	fill(&inner.Board, outer.Board)
	fill(&inner.Option, outer.Option)
	return inner
}

// In adds the place and, where it is missing, the action to err. A plain error becomes Internal,
// a context error Cancelled. In(nil) is nil.
func In(err error, what string, w Where) error {
	if err == nil {
		return nil
	}
	e := From(err)
	c := *e
	if c.What == "" {
		c.What = what
	}
	c.Where = merge(c.Where, w)
	return &c
}

// From turns any error into an *Error. A plain error becomes Internal, a context error Cancelled.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	if errors.Is(err, context.Canceled) {
		return &Error{Kind: Cancelled, Why: "stopped on request", Err: err}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &Error{Kind: Cancelled, Why: "the time allowed for it is over", Err: err}
	}
	return &Error{Kind: Internal, Why: err.Error(), Err: err}
}

// KindOf is the kind of err, or "" for nil.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	return From(err).Kind
}

// Is reports whether err is of kind k.
func Is(err error, k Kind) bool { return KindOf(err) == k }

// ExitCode maps an error to the exit code of the command line: 0 done, 1 the answer is no, 2 usage,
// 3 bad input, 4 target or network, 5 not supported, 130 cancelled.
func ExitCode(err error) int {
	switch KindOf(err) {
	case "":
		return 0
	case Failed, Internal:
		return 1
	case Usage:
		return 2
	case NotFound:
		if w := From(err).Where; w.Board != "" && w.File == "" {
			return 4 // a target or deployment that is not there, not a file
		}
		return 3
	case Invalid, Corrupt, TooBig:
		return 3
	case Unreachable, Denied, Busy, NoSpace:
		return 4
	case Unsupported:
		return 5
	case Cancelled:
		return 130
	}
	return 1
}

// Kinds lists every kind with its exit code and meaning; docs/errors.md is made from it.
func Kinds() []struct {
	Kind    Kind
	Exit    int
	Meaning string
} {
	type row = struct {
		Kind    Kind
		Exit    int
		Meaning string
	}
	rows := []row{
		{Kind: Failed, Meaning: "The answer is no: a check failed, cases failed, a goal is not reached."},
		{Kind: Internal, Meaning: "A bug in Fettle; please report it with the crash file."},
		{Kind: Usage, Meaning: "The command was called wrongly."},
		{Kind: Invalid, Meaning: "A file, option or attribute is wrong; the message names file, field, offset or node."},
		{Kind: Corrupt, Meaning: "Data changed or was cut on its way."},
		{Kind: TooBig, Meaning: "A budget for untrusted input was exceeded."},
		{Kind: NotFound, Meaning: "A named file, model, board or run is not there."},
		{Kind: Unreachable, Meaning: "A board or the network did not answer in time."},
		{Kind: Denied, Meaning: "Permission, authentication or the host key was refused."},
		{Kind: Busy, Meaning: "Another studio or job holds the board or file."},
		{Kind: NoSpace, Meaning: "A disk is full; the message says which."},
		{Kind: Unsupported, Meaning: "Fettle does not do this yet; the message names the operator or feature."},
		{Kind: Cancelled, Meaning: "Stopped on request or by a deadline."},
	}
	for i := range rows {
		rows[i].Exit = ExitCode(&Error{Kind: rows[i].Kind})
	}
	return rows
}
