package ship

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/pgveil/pgveil/audit"
)

// cursorDir is the folder of cursors, in that of the log; a file each.
const (
	cursorDir = "ship"
	cursorExt = ".cursor"
)

// place is how far a sink has come in one chain.
type place struct {
	Next uint64 `json:"next"` // the first record that it does not have
	Last string `json:"last"` // digest of the one before; "" where there is none, or none was sent
}

// cursor is how far a sink has come, by the name of the chain.
type cursor map[string]place

// nexts gives, by the name of the chain, the first record that the sink does not
// have.
func (c cursor) nexts() map[string]uint64 {
	list := map[string]uint64{}
	for chain, p := range c {
		list[chain] = p.Next
	}
	return list
}

func cursorPath(dir, sink string) string { return filepath.Join(dir, cursorDir, sink+cursorExt) }

// readCursor gives nil where the sink has none yet.
func readCursor(path string) (cursor, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var c cursor
	if err := json.Unmarshal(text, &c); err != nil || c == nil {
		return nil, fmt.Errorf("%s is no cursor: %w", path, errors.Join(err, errors.New("remove it to begin anew")))
	}
	return c, nil
}

// write replaces the cursor in one step, durably.
func (c cursor) write(path string) error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := writeDurably(path+".tmp", append(text, '\n')); err != nil {
		return err
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func writeDurably(path string, text []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(text); err != nil {
		return err
	}
	return f.Sync()
}

func syncDir(path string) (err error) {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return d.Sync()
}

// Floor gives, by the name of the chain, the first record that some sink does
// not have yet: what is before may go, as far as sinks are concerned. It knows
// the sinks by their cursors; a chain that no sink has begun is not in it.
func Floor(dir string) (map[string]uint64, error) {
	names, err := Known(dir)
	if err != nil {
		return nil, err
	}
	floor := map[string]uint64{}
	for _, name := range names {
		c, err := readCursor(cursorPath(dir, name))
		if err != nil {
			return nil, fmt.Errorf("cursor of sink %s: %w", name, err)
		}
		for chain, p := range c {
			if least, known := floor[chain]; !known || p.Next < least {
				floor[chain] = p.Next
			}
		}
	}
	return floor, nil
}

// Known gives the names of the sinks that have a cursor, configured or not.
func Known(dir string) (names []string, err error) {
	entries, err := os.ReadDir(filepath.Join(dir, cursorDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), cursorExt); ok {
			names = append(names, name)
		}
	}
	return names, err
}

// errLocked says that another process ships to the sink.
var errLocked = errors.New("another process ships to this sink")

// lock makes this process the only one that ships to a sink, until the file is
// closed.
func lock(dir, sink string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Join(dir, cursorDir), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, cursorDir, sink+".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = errLocked
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// segments gives the files of a log, in order; none where there is no log.
func segments(dir string) ([]string, error) {
	return filepath.Glob(filepath.Join(globQuote(dir), "*.seg"))
}

// firstRecord gives the seq of the first record that a log still has, or will
// have, and whether there is a log.
func firstRecord(dir string) (first uint64, some bool, err error) {
	list, err := segments(dir)
	if len(list) == 0 || err != nil {
		return 0, false, err
	}
	for r, err := range audit.Read(dir, 0) {
		return r.Seq, true, err
	}
	// There was no record, so the last segment was empty; it is named by the
	// first that will be in it. Since then, others may have come.
	name := filepath.Base(list[len(list)-1])
	first, err = strconv.ParseUint(strings.TrimSuffix(name, ".seg"), 10, 64)
	return first, true, err
}

// Reset has a sink go on at the end of the log, or at a record of the first
// chain, or else at the beginning.
func Reset(o Options, sink string, now bool, seq *uint64) (err error) {
	file, err := lock(o.Dir, sink)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	f := feed{sink: Sink{Name: sink, FromNow: now}, opts: &o}
	at, err := f.first(context.Background())
	if err != nil {
		return err
	}
	if seq != nil {
		before, err := readCursor(cursorPath(o.Dir, sink))
		if err != nil {
			return err
		}
		for chain, p := range before {
			at[chain] = p
		}
		at[o.Chains[0].Name] = place{Next: *seq}
	}
	return at.write(cursorPath(o.Dir, sink))
}

// Forget removes what is remembered of a sink that is no more.
func Forget(dir, sink string) (err error) {
	if !sinkName.MatchString(sink) {
		return fmt.Errorf("%q is no name of a sink", sink)
	}
	file, err := lock(dir, sink)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return errors.Join(os.Remove(cursorPath(dir, sink)), os.Remove(file.Name()))
}

// First gives the first record that a chain still has.
func First(c Chain) (uint64, error) {
	first, some, err := firstRecord(c.Dir)
	if err == nil && !some {
		err = fmt.Errorf("there is no audit log in %s", c.Dir)
	}
	return first, err
}
