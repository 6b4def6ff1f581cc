package history

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"fettle/internal/fail"
	"fettle/internal/task"
)

const (
	schema        = 1
	applicationID = 0x46544c31 // "FTL1" in the file's head: a file of something else is refused
)

// connect opens the file: write-ahead log, and every commit on the disk before it counts. With synchronous=NORMAL a power
// cut loses the last commits; the ten times slower FULL costs milliseconds a run here.
func connect(path, more string, conns int) (*sql.DB, error) {
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}
	db, err := sql.Open("sqlite", u.String()+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=trusted_schema(0)&_pragma=cell_size_check(1)"+more)
	if err != nil {
		return nil, typed(err)
	}
	db.SetMaxOpenConns(conns)
	return db, typed(safely(db.Ping))
}

// migrate makes the tables, or refuses a file that this version cannot know.
func (s *Store) migrate() error {
	var app, version int64
	for q, v := range map[string]*int64{"PRAGMA application_id": &app, "PRAGMA user_version": &version} {
		if err := typed(safely(func() error { return s.write.QueryRow(q).Scan(v) })); err != nil {
			return err
		}
	}
	switch {
	case version == schema && app == applicationID:
		return nil
	case version > schema && app == applicationID:
		return fail.New(fail.Unsupported, "a newer version of Fettle wrote it (form %d, this version reads %d)", version, schema).Try("use the newer version, or another FETTLE_HOME")
	case version != 0 || app != 0:
		return fail.New(fail.Corrupt, "it is not a history of Fettle").Try("move it away; a new one is made")
	}
	return typed(safely(func() error {
		tx, err := s.write.Begin()
		if err != nil {
			return err
		}
		defer tx.Rollback()
		for _, q := range []string{
			`CREATE TABLE IF NOT EXISTS runs (
				id TEXT PRIMARY KEY, taken_unix INTEGER NOT NULL, model_sha TEXT NOT NULL, model TEXT NOT NULL, target TEXT NOT NULL,
				runtime TEXT NOT NULL, threads INTEGER NOT NULL, precision TEXT NOT NULL, p50_ns REAL, seal TEXT NOT NULL, complete INTEGER NOT NULL,
				head_sum BLOB NOT NULL, profile BLOB NOT NULL, trace BLOB, body_sum BLOB NOT NULL)`,
			"CREATE INDEX IF NOT EXISTS runs_taken ON runs (taken_unix)",
			"CREATE INDEX IF NOT EXISTS runs_model ON runs (model_sha, taken_unix)",
			fmt.Sprintf("PRAGMA application_id = %d", applicationID),
			fmt.Sprintf("PRAGMA user_version = %d", schema),
		} {
			if _, err := tx.Exec(q); err != nil {
				return err
			}
		}
		return tx.Commit()
	}))
}

// SetAside renames a damaged history and its log, so that the next Open makes a new one, and gives the new name. Nothing is deleted.
func SetAside(path string) (string, error) {
	for i := 1; ; i++ {
		to := fmt.Sprintf("%s.damaged-%d", path, i)
		if _, err := os.Lstat(to); err == nil {
			continue
		}
		for _, end := range []string{"", "-wal", "-shm"} {
			if err := os.Rename(path+end, to+end); err != nil && !(end != "" && errors.Is(err, os.ErrNotExist)) {
				return "", fail.In(notWritable(err), "set the damaged history aside", fail.Where{File: path})
			}
		}
		return to, nil
	}
}

func safely(f func() error) error { return task.Safely("read the history", f) }

// typed says what an error of SQLite means for the user.
func typed(err error) error {
	var e *sqlite.Error
	var known *fail.Error
	switch {
	case err == nil || errors.As(err, &known) || errors.Is(err, sql.ErrNoRows):
		return err
	case !errors.As(err, &e):
		return fail.From(err)
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT:
		return fail.New(fail.Corrupt, "the file is damaged: %v", err).Try("it is left as it is; set it aside to start a new one, and check the disk")
	case sqlite3.SQLITE_IOERR:
		return fail.New(fail.Corrupt, "the disk could not read or write it: %v", err).Try("check the disk")
	case sqlite3.SQLITE_FULL:
		return fail.New(fail.NoSpace, "the disk is full: %v", err).Try("free some space; nothing that was kept is lost")
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fail.New(fail.Busy, "another process holds it for more than 5 s: %v", err).Try("close the other Fettle, or wait")
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH:
		return notWritable(err)
	case sqlite3.SQLITE_INTERRUPT:
		return &fail.Error{Kind: fail.Cancelled, Why: "stopped on request", Err: err}
	case sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_SCHEMA:
		return fail.New(fail.Corrupt, "its tables are not as Fettle made them: %v", err).Try("set it aside to start a new one")
	}
	return fail.From(err)
}

func notWritable(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return fail.New(fail.NoSpace, "the disk is full: %v", err).Try("free some space")
	}
	return fail.New(fail.Denied, "it cannot be written: %v", err).Try("set FETTLE_HOME to a folder that can be written")
}
