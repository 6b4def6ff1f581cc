package history

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"strings"

	"github.com/klauspost/compress/zstd"

	"fettle/internal/fail"
	"fettle/profiler"
)

const (
	idLength  = 12
	maxUnpack = 512 << 20 // a trace that unpacks to more is damaged or hostile
)

// Run is the head of a kept run: what a list shows. Its JSON form is that of `fettle runs --json`.
type Run struct {
	ID        string   `json:"id"`
	TakenUnix int64    `json:"taken_unix"`
	ModelSHA  string   `json:"model_sha256"`
	Model     string   `json:"model"`
	Target    string   `json:"target"`
	Runtime   string   `json:"runtime"`
	Threads   int      `json:"threads"`
	Precision string   `json:"precision"`
	P50Ns     *float64 `json:"p50_ns"`
	Seal      string   `json:"seal"`
	Complete  bool     `json:"complete"`
	Damaged   error    `json:"-"` // fail.Corrupt where the row says something else than was written
}

// row is a run as it lies in the file.
type row struct {
	Run
	profile, trace   []byte // profile as JSON, trace packed
	headSum, bodySum []byte
}

func newRow(id string, p *profiler.Profile, body, traceJSON []byte) *row {
	r := &row{Run: Run{ID: id, TakenUnix: p.TakenUnix, ModelSHA: p.Model.SHA256, Model: p.Model.Name, Target: p.Target.Name, Runtime: p.Runtime.Name,
		Threads: p.Plan.Threads, Precision: p.Plan.Precision, P50Ns: p.Clean.P50Ns, Seal: p.Conditions.Seal, Complete: p.Complete}, profile: body}
	if len(traceJSON) > 0 {
		enc, _ := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1)) // fails only for wrong options
		r.trace = enc.EncodeAll(traceJSON, nil)
		enc.Close()
	}
	r.headSum, r.bodySum = r.Run.sum(), bodySum(r.ID, r.profile, r.trace)
	return r
}

// sum covers every column of the head, each with its length so that no two rows read alike.
func (r *Run) sum() []byte {
	h := sha256.New()
	text := func(s string) {
		var n [8]byte
		binary.LittleEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	number := func(v uint64) {
		var n [8]byte
		binary.LittleEndian.PutUint64(n[:], v)
		h.Write(n[:])
	}
	for _, s := range []string{r.ID, r.ModelSHA, r.Model, r.Target, r.Runtime, r.Precision, r.Seal} {
		text(s)
	}
	number(uint64(r.TakenUnix))
	number(uint64(r.Threads))
	if r.P50Ns != nil {
		number(math.Float64bits(*r.P50Ns))
	}
	if r.Complete {
		number(1)
	}
	return h.Sum(nil)
}

func bodySum(id string, profile, trace []byte) []byte {
	h := sha256.New()
	h.Write([]byte(id))
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(len(profile)))
	h.Write(n[:])
	h.Write(profile)
	h.Write(trace)
	return h.Sum(nil)
}

const headColumns = "id, taken_unix, model_sha, model, target, runtime, threads, precision, p50_ns, seal, complete, head_sum"

func (r *row) insert(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO runs ("+headColumns+", profile, trace, body_sum) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
		r.ID, r.TakenUnix, r.ModelSHA, r.Model, r.Target, r.Runtime, r.Threads, r.Precision, r.P50Ns, r.Seal, r.Complete, r.headSum, r.profile, r.trace, r.bodySum)
	return err
}

// scanHead reads a head and marks it where it is damaged.
func scanHead(rows *sql.Rows) Run {
	var r Run
	var sum []byte
	if err := rows.Scan(&r.ID, &r.TakenUnix, &r.ModelSHA, &r.Model, &r.Target, &r.Runtime, &r.Threads, &r.Precision, &r.P50Ns, &r.Seal, &r.Complete, &sum); err != nil {
		return Run{ID: r.ID, Damaged: damaged(r.ID)} // a column of another type: this row is damaged, the next may not be
	}
	if string(sum) != string(r.sum()) {
		r.Damaged = damaged(r.ID)
	}
	return r
}

func damaged(id string) error {
	return fail.New(fail.Corrupt, "run %q is not as it was written", id).Try("delete it and measure again; check the disk")
}

// Filter chooses runs of a list. Empty fields choose all.
type Filter struct {
	ModelSHA string
	Model    string // exact name
	Target   string
	Runtime  string
	Since    int64 // unix seconds
	Limit    int   // newest first; 0: all
}

// List gives the heads of runs, newest first. Damaged rows are listed with Damaged set. An error comes with the rows read before it.
func (s *Store) List(ctx context.Context, f Filter) ([]Run, error) {
	var where []string
	var args []any
	add := func(column, v string) {
		if v != "" {
			where, args = append(where, column+" = ?"), append(args, v)
		}
	}
	add("model_sha", f.ModelSHA)
	add("model", f.Model)
	add("target", f.Target)
	add("runtime", f.Runtime)
	if f.Since != 0 {
		where, args = append(where, "taken_unix >= ?"), append(args, f.Since)
	}
	q := "SELECT " + headColumns + " FROM runs"
	if len(where) > 0 {
		q += " WHERE " + strings.Join(where, " AND ")
	}
	q += " ORDER BY taken_unix DESC, rowid DESC"
	if f.Limit > 0 {
		q, args = q+" LIMIT ?", append(args, f.Limit)
	}
	out := []Run{}
	err := s.reading(func() error {
		rows, err := s.read.QueryContext(ctx, q, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			out = append(out, scanHead(rows))
		}
		return rows.Err()
	})
	return out, fail.In(err, "list the history", fail.Where{File: s.path})
}

// Get gives a run by its id or an unambiguous beginning of it, with its ID set. Error: fail.NotFound, fail.Corrupt.
func (s *Store) Get(ctx context.Context, id string) (*profiler.Profile, error) {
	r, err := s.body(ctx, id)
	if err != nil {
		return nil, err
	}
	p := new(profiler.Profile)
	if err := json.Unmarshal(r.profile, p); err != nil {
		return nil, damaged(r.ID)
	}
	p.ID = r.ID
	return p, nil
}

// Trace gives the raw trace of a run as JSON; nil where none was kept. Error: fail.NotFound, fail.Corrupt.
func (s *Store) Trace(ctx context.Context, id string) ([]byte, error) {
	r, err := s.body(ctx, id)
	if err != nil || len(r.trace) == 0 {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxUnpack))
	if err != nil {
		return nil, fail.New(fail.Internal, "unpack a trace: %v", err)
	}
	defer dec.Close()
	b, err := dec.DecodeAll(r.trace, nil)
	if err != nil {
		return nil, damaged(r.ID)
	}
	return b, nil
}

func (s *Store) body(ctx context.Context, id string) (*row, error) {
	where := fail.Where{File: s.path}
	id, err := s.Resolve(ctx, id)
	if err != nil {
		return nil, fail.In(err, "read run "+id, where)
	}
	r := &row{Run: Run{ID: id}}
	err = s.reading(func() error {
		return s.read.QueryRowContext(ctx, "SELECT profile, trace, body_sum FROM runs WHERE id = ?", id).Scan(&r.profile, &r.trace, &r.bodySum)
	})
	if err == nil && string(r.bodySum) != string(bodySum(r.ID, r.profile, r.trace)) {
		err = damaged(id)
	}
	return r, fail.In(err, "read run "+id, where)
}

// Resolve completes the beginning of an id. Error: fail.NotFound, or fail.Invalid where it begins several.
func (s *Store) Resolve(ctx context.Context, id string) (string, error) {
	if id == "" || strings.Trim(id, "0123456789abcdef") != "" || len(id) > idLength {
		return id, fail.New(fail.NotFound, "%q is no id of a run: ids have %d of the signs 0-9 and a-f", id, idLength).Try("list the runs for their ids")
	}
	var full string
	n := 0
	err := s.reading(func() error {
		rows, err := s.read.QueryContext(ctx, "SELECT id FROM runs WHERE id >= ? AND id < ? LIMIT 2", id, id+"g")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if err := rows.Scan(&full); err != nil {
				return err
			}
			n++
		}
		return rows.Err()
	})
	switch {
	case err != nil:
		return id, err
	case n == 0:
		return id, fail.New(fail.NotFound, "no run %q in the history", id).Try("list the runs for their ids")
	case n > 1:
		return id, fail.New(fail.Invalid, "%q begins the ids of several runs", id).Try("give more of the id")
	}
	return full, nil
}

// reading turns what SQLite says, and a panic over a damaged page, into a typed error.
func (s *Store) reading(f func() error) error {
	err := typed(safely(f))
	if errors.Is(err, sql.ErrNoRows) {
		return fail.New(fail.NotFound, "the run is not in the history any more")
	}
	return err
}
