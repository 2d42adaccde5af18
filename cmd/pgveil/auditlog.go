package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/config"
)

// besideDir is the folder of the access log's second chain, in that of the
// first. A log has one writer; while an old process serves its last sessions,
// the new one writes the chain that the old one does not.
const besideDir = "beside"

// openLog opens the chain of the access log that nobody writes, and gives its
// folder and the other one's.
func openLog(cfg *config.Config) (log *audit.Log, dir, other string, err error) {
	first, second := cfg.Audit.Dir, filepath.Join(cfg.Audit.Dir, besideDir)
	log, err = audit.Open(first, audit.Options{})
	if !cfg.Overlap || !errors.Is(err, audit.ErrInUse) {
		return log, first, second, err
	}
	log, err = audit.Open(second, audit.Options{})
	return log, second, first, err
}

// started is what a process first records. Where there is another chain it
// says how far that had come: so each chain vouches for the other, and neither
// can be removed or written anew without a trace.
func started(other string) string {
	head, err := audit.ReadHead(other)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "start"
	case err != nil:
		return fmt.Sprintf("start; the other chain cannot be read: %v", err)
	default:
		return fmt.Sprintf("start; the other chain has come to %s", head)
	}
}
