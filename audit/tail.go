package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/mod/sumdb/tlog"
)

// Leaf is a record with its leaf hash in the log's Merkle tree, which is known
// whether or not checkpoints are signed.
type Leaf struct {
	Record
	Hash tlog.Hash
}

// Tail reads a log for whoever carries it on to somewhere else: record by
// record, and never waiting for more. One goroutine may use it.
type Tail struct {
	from uint64
	r    *reader
}

// OpenTail opens a log to read it from seq on, or where that is 0 from its first
// record. It may run beside the writer.
func OpenTail(dir string, from uint64) (*Tail, error) {
	r, err := openReader(dir, from, false)
	if err != nil {
		return nil, fmt.Errorf("read audit log %s: %w", dir, err)
	}
	if from > 0 && from < r.retired.Records {
		r.file.Close() // only read from
		return nil, fmt.Errorf("read audit log %s: records %d to %d were retired before they were read", dir, from, r.retired.Records-1)
	}
	return &Tail{from, r}, nil
}

// Next gives the next record. more is false where the log ends for now: asked
// again later, Next goes on from there. Of damage it notices what the checksums
// tell, as Read does.
func (t *Tail) Next() (leaf Leaf, more bool, err error) {
	for {
		f, err := t.r.read()
		switch {
		case errors.Is(err, io.EOF):
			return Leaf{}, false, nil
		case err != nil:
			return Leaf{}, false, fmt.Errorf("read audit log %s: %w", t.r.dir, err)
		case f.seq < t.from:
			continue
		}
		leaf.Hash = tlog.RecordHash(f.payload)
		if err := json.Unmarshal(f.payload, &leaf.Record); err != nil {
			return Leaf{}, false, fmt.Errorf("read audit log %s: record %d: %w", t.r.dir, f.seq, err)
		}
		return leaf, true, nil
	}
}

// Close closes the files.
func (t *Tail) Close() error { return t.r.file.Close() }

// First gives the first record that a log has: 0, or the one behind those that
// were retired. The error is an io.EOF where there is none yet.
func First(dir string) (Leaf, error) { return leafFrom(dir, 0) }

// ErrRetired says that a record was removed because it had been kept for as long
// as it should be.
var ErrRetired = errors.New("the record was retired")

// LeafHash gives the leaf hash of one record, also of one that was retired as long
// as the stored hashes have it; else the error is ErrRetired. It is an io.EOF where
// the log ends before the record.
func LeafHash(dir string, seq uint64) (tlog.Hash, error) {
	if t, err := readTombstone(dir); err != nil || seq < t.Records {
		return retiredLeaf(dir, seq, err)
	}
	leaf, err := leafFrom(dir, seq)
	return leaf.Hash, err
}

func leafFrom(dir string, seq uint64) (Leaf, error) {
	t, err := OpenTail(dir, seq)
	if err != nil {
		return Leaf{}, err
	}
	leaf, some, err := t.Next()
	if err == nil && !some {
		err = fmt.Errorf("audit log %s ends before record %d: %w", dir, seq, io.EOF)
	}
	return leaf, errors.Join(err, t.Close())
}

func retiredLeaf(dir string, seq uint64, err error) (tlog.Hash, error) {
	if err != nil {
		return tlog.Hash{}, err
	}
	file, err := os.Open(filepath.Join(dir, hashesName))
	if err != nil {
		return tlog.Hash{}, fmt.Errorf("record %d: %w: %w", seq, ErrRetired, err)
	}
	defer file.Close()
	h, err := storedHashes{file}.ReadHashes([]int64{tlog.StoredHashIndex(0, int64(seq))})
	if err != nil {
		return tlog.Hash{}, fmt.Errorf("record %d: %w: %w", seq, ErrRetired, err)
	}
	if h[0] == (tlog.Hash{}) { // the file was made anew since
		return tlog.Hash{}, fmt.Errorf("record %d: %w, and %s does not have its hash any more", seq, ErrRetired, hashesName)
	}
	return h[0], nil
}

// SyncFiles makes a log durable that another process writes, or wrote, from the
// segment of record from on. The log's own process has Log.Sync, which is
// cheaper.
func SyncFiles(ctx context.Context, dir string, from uint64) error {
	firsts, err := segments(dir)
	if err != nil {
		return fmt.Errorf("sync audit log %s: %w", dir, err)
	}
	for i, first := range firsts {
		if i+1 < len(firsts) && firsts[i+1] <= from {
			continue
		}
		if err := errors.Join(ctx.Err(), syncFile(filepath.Join(dir, segmentName(first)))); err != nil {
			return fmt.Errorf("sync audit log %s: %w", dir, err)
		}
	}
	return syncFile(dir)
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
