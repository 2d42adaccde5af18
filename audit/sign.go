package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// signing keeps the Merkle tree of a log and signs its root. It works from the
// files, behind the writer, so that Append knows nothing of it. But for wake
// and last.Size at the start it belongs to one goroutine at a time: Open's,
// then that of signer, then Close's.
type signing struct {
	dir    string
	keys   []Key         // who sign; two until the first has taken over from the second
	takes  uint64        // seq of the record that says so
	wake   chan struct{} // holds one
	hashes *os.File
	list   *os.File
	end    int64      // of the list
	opened Checkpoint // the last in the list when it was opened
	last   Checkpoint // in the list
	tree   frontier   // of the records whose hashes are in the file
	reader *reader    // stands before record tree.n; nil: nowhere yet
	buf    []byte
	retirement
}

// floor is how many records of the log are known to have been there.
func (s *signing) floor() uint64 {
	if s == nil {
		return 0
	}
	return s.last.Size
}

func (s *signing) close() error {
	if s == nil {
		return nil
	}
	s.rewind()
	var errs []error
	for _, f := range []*os.File{s.list, s.hashes} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// rewind lets go of the reader, which may stand anywhere.
func (s *signing) rewind() {
	if s.reader != nil {
		s.reader.file.Close() // only read from
		s.reader = nil
	}
}

// grow takes records into the tree, up to a size.
func (s *signing) grow(to uint64) (err error) {
	defer func() {
		if err != nil {
			s.rewind()
		}
	}()
	if s.reader == nil {
		if s.reader, err = openReader(s.dir, s.tree.n, true); err != nil {
			return err
		}
	}
	tree, buf, at := s.tree, s.buf[:0], hashesAt(s.tree.n)
	for tree.n < to {
		f, err := s.reader.read()
		if errors.Is(err, io.EOF) {
			return s.reader.fault("it is not in the file any more")
		} else if err != nil {
			return err
		}
		if f.seq < tree.n {
			continue // before the place to go on from, in the same segment
		}
		buf = tree.grow(tlog.RecordHash(f.payload), buf)
		if len(buf) >= 64<<10 || tree.n == to {
			if _, err := s.hashes.WriteAt(buf, at); err != nil {
				return err
			}
			at += int64(len(buf))
			buf = buf[:0]
		}
	}
	s.tree, s.buf = tree, buf
	return nil
}

// LastCheckpoint gives the checkpoint that the log was opened with, its size 0
// when there was none; false when this log signs none.
func (l *Log) LastCheckpoint() (Checkpoint, bool) {
	if l.signing == nil {
		return Checkpoint{}, false
	}
	return l.signing.opened, true
}

// askCheckpoint wakes the signer.
func (l *Log) askCheckpoint() {
	if l.signing == nil {
		return
	}
	select {
	case l.signing.wake <- struct{}{}:
	default:
	}
}

// signer is the goroutine that signs, now and then.
func (l *Log) signer() {
	ctx, cancel := context.WithCancel(context.Background())
	l.tasks.Go(func() {
		<-l.quit
		cancel() // nobody syncs any more; Close does, and signs after it
	})
	tick := time.NewTicker(l.opts.CheckpointEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-l.signing.wake:
		case asked := <-l.signing.asked:
			asked <- l.retireAll(ctx)
			continue
		case <-l.quit:
			return
		}
		err := l.checkpoint(ctx)
		if err == nil {
			l.retireDue(ctx)
		} else if ctx.Err() == nil && l.opts.SignFailed != nil {
			l.opts.SignFailed(err)
		}
	}
}

// stepRecords is how many records are taken into the tree between two
// checkpoints at most, so that building a large tree gets somewhere.
const stepRecords = 1 << 18

// checkpoint makes what is in the log durable and signs it, with a checkpoint
// at the end of each segment. Records that are not what was appended end the
// log: somebody writes to its files.
func (l *Log) checkpoint(ctx context.Context) (err error) {
	s := l.signing
	l.mu.Lock()
	next, chain := l.next, l.chain
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if errors.As(err, new(*Fault)) {
			err = l.fail(err)
		}
		l.signErr = err
	}()
	if next > 0 {
		if err := l.Sync(ctx, next-1); err != nil {
			return err
		}
	}
	for s.tree.n < next || s.last.Size < next {
		to, err := s.step(next)
		if err == nil {
			err = s.grow(to)
		}
		if err == nil && to == next && s.reader.next == next && s.reader.before != chain {
			err = s.reader.fault("the records before it are not those that were appended")
		}
		if err == nil {
			err = l.publish()
		}
		if err != nil {
			return fmt.Errorf("checkpoint of %d records: %w", to, err)
		}
		if ctx.Err() != nil {
			return nil // Close goes on, and after it the next start
		}
	}
	return nil
}

// closeSigns bounds how long Close signs what a tree that is being built, or a
// burst, has left: there is a next start.
const closeSigns = 10 * time.Second

// lastCheckpoint is that of Close.
func (l *Log) lastCheckpoint() error {
	if l.signing == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeSigns)
	defer cancel()
	return l.checkpoint(ctx)
}

// step says up to where the tree grows next: to the last checkpoint, the end of
// a segment, or the end.
func (s *signing) step(next uint64) (uint64, error) {
	firsts, err := segments(s.dir)
	if err != nil {
		return 0, err
	}
	to := min(next, s.tree.n+stepRecords)
	for _, stop := range append(firsts, s.last.Size) {
		if stop > s.tree.n {
			to = min(to, stop)
		}
	}
	return to, nil
}

// publish signs the tree as it is and writes the checkpoint into the list and
// the file with the latest, in this order and durably. A tree that is being
// made anew is not signed again, but held to what was.
func (l *Log) publish() error {
	s := l.signing
	root := s.tree.root()
	switch {
	case s.tree.n == s.last.Size && root != s.last.Root:
		return s.reader.fault("the records before it are not those under the signed checkpoint")
	case s.tree.n <= s.last.Size:
		return nil
	}
	c, err := sign(s.tree.n, root, s.keys)
	if err == nil {
		err = s.hashes.Sync()
	}
	if err == nil {
		err = c.appendTo(s.list, s.end)
	}
	if err != nil {
		return err
	}
	s.last, s.end = c, s.end+int64(len(c.Note))+1
	if c.Size > s.takes {
		s.keys = s.keys[:1]
	}
	if err := replaceFile(l.lock, filepath.Join(s.dir, latestName), c.Note); err != nil {
		return err
	}
	l.mu.Lock()
	l.signed = c.Size
	unsigned := l.next - c.Size
	l.mu.Unlock()
	if l.opts.Signed != nil {
		l.opts.Signed(c, unsigned)
	}
	return nil
}

// replaceFile writes a file anew, so that there is always a whole one.
func replaceFile(dir *os.File, path string, text []byte) error {
	f, err := os.OpenFile(path+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return err
	}
	return dir.Sync()
}
