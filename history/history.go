// Package history keeps measured runs in one SQLite file: the profile, and the raw trace that it can be made from again.
//
// Every row carries the SHA-256 of what it says. A damaged row or file is a fail.Corrupt and never stops the rest; nothing
// here overwrites a damaged file. All writing goes through one goroutine; a second process may read and write the
// same file. It computes no statistics and knows no board. Start reading at Open, then Store.Put.
package history

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"sync"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/profiler"
)

// Store is an open history. Its methods may be called from any goroutine.
type Store struct {
	path  string
	read  *sql.DB
	write *sql.DB
	jobs  chan job
	group *task.Group
	stop  sync.Once
	err   error
}

// job is one write; the writer answers on done.
type job struct {
	ctx  context.Context
	do   func(ctx context.Context, tx *sql.Tx) error
	done chan error
}

// Open opens the history in the file path and creates it, readable by the user only, where it is not there.
//
// Error: fail.Denied where the folder cannot be written, fail.Corrupt where the file is damaged (see SetAside),
// fail.Unsupported where a newer version of Fettle wrote it, fail.NoSpace, fail.Busy.
func Open(path string) (*Store, error) {
	s := &Store{path: path, jobs: make(chan job), group: task.NewGroup(context.Background())}
	if err := s.open(); err != nil {
		s.closeFiles()
		return nil, fail.In(err, "open the history", fail.Where{File: path})
	}
	s.group.Go("history writer", s.writer)
	return s, nil
}

func (s *Store) open() error {
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return notWritable(err)
	}
	f, err := os.OpenFile(s.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return notWritable(err)
	}
	if err := f.Close(); err != nil {
		return notWritable(err)
	}
	if s.write, err = connect(s.path, "&_txlock=immediate", 1); err != nil {
		return err
	}
	if s.read, err = connect(s.path, "&_pragma=query_only(1)", 4); err != nil {
		return err
	}
	return s.migrate()
}

// Put keeps a run and gives its id. The same profile with the same trace keeps its id and its one row.
//
// When Put returns without error, the run survives a power cut.
func (s *Store) Put(ctx context.Context, p *profiler.Profile, traceJSON []byte) (string, error) {
	if p == nil {
		return "", fail.New(fail.Internal, "no profile to keep")
	}
	c := *p
	c.ID = ""
	body, err := json.Marshal(&c)
	if err != nil {
		return "", fail.New(fail.Internal, "the profile has no JSON form: %v", err).Doing("keep the run")
	}
	h := sha256.New()
	h.Write(body)
	h.Write(traceJSON)
	r := newRow(hex.EncodeToString(h.Sum(nil))[:idLength], p, body, traceJSON)
	err = s.do(ctx, func(ctx context.Context, tx *sql.Tx) error { return r.insert(ctx, tx) })
	return r.ID, fail.In(err, "keep the run", fail.Where{File: s.path})
}

// Delete removes a run. Error: fail.NotFound.
func (s *Store) Delete(ctx context.Context, id string) error {
	id, err := s.Resolve(ctx, id)
	if err == nil {
		err = s.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "DELETE FROM runs WHERE id = ?", id)
			return err
		})
	}
	return fail.In(err, "delete run "+id, fail.Where{File: s.path})
}

// Close waits for the write in progress and closes the file.
func (s *Store) Close() error {
	s.stop.Do(func() {
		s.group.Cancel()
		s.err = s.group.Wait()
		if err := s.closeFiles(); s.err == nil {
			s.err = typed(err)
		}
	})
	return s.err
}

func (s *Store) closeFiles() (err error) {
	for _, db := range []*sql.DB{s.read, s.write} {
		if db != nil {
			if e := db.Close(); err == nil {
				err = e
			}
		}
	}
	return err
}

// writer is the only one that writes: SQLite takes one writer at a time, and a queue here is fairer than its busy loop.
func (s *Store) writer(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case j := <-s.jobs:
			j.done <- typed(task.Safely("write to the history", func() error { return s.transaction(j) }))
		}
	}
}

func (s *Store) transaction(j job) error {
	tx, err := s.write.BeginTx(j.ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after a commit this does nothing
	if err := j.do(j.ctx, tx); err != nil {
		return err
	}
	return tx.Commit()
}

// do hands a write to the writer and waits for its answer.
func (s *Store) do(ctx context.Context, f func(context.Context, *sql.Tx) error) error {
	j := job{ctx: ctx, do: f, done: make(chan error, 1)}
	select {
	case s.jobs <- j:
		return <-j.done // the write itself ends with ctx
	case <-ctx.Done():
		return ctx.Err()
	case <-s.group.Context().Done():
		return fail.New(fail.Internal, "the history is closed")
	}
}
