//go:build !unix

package agent

import (
	"os"
	"path/filepath"

	"fettle/internal/cas"
)

// lock holds a file open; systems without flock refuse to remove it meanwhile.
func (s *Store) lock() (func(), error) {
	f, err := os.OpenFile(filepath.Join(s.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, cas.Explain(err)
	}
	return func() { f.Close() }, nil
}
