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
	last   Checkpoint // in the list
	tree   frontier   // of the records whose hashes are in the file
	reader *reader    // stands before record tree.n; nil: nowhere yet
	buf    []byte
}

// openSigning finds the last checkpoint in dir, and checks who signed it.
func openSigning(dir string, opts Options) (s *signing, err error) {
	if opts.Key == nil {
		info, err := os.Stat(filepath.Join(dir, listName))
		if err == nil && info.Size() > 0 {
			err = errors.New("the log has signed checkpoints, so it needs its key")
		}
		if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		return nil, err
	}
	s = &signing{dir: dir, keys: []Key{*opts.Key}, wake: make(chan struct{}, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.list, err = os.OpenFile(filepath.Join(dir, listName), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, err
	}
	if s.hashes, err = os.OpenFile(filepath.Join(dir, hashesName), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, err
	}
	if s.last, s.end, err = lastOf(s.list); err != nil {
		return nil, fmt.Errorf("%s: %w", listName, err)
	}
	if err := s.list.Truncate(s.end); err != nil {
		return nil, err
	}
	if err := s.checkLatest(); err != nil {
		return nil, err
	}
	return s, s.checkSigner(opts)
}

// checkLatest holds the list to the file with the latest checkpoint, which is
// written after it.
func (s *signing) checkLatest() error {
	text, err := os.ReadFile(filepath.Join(s.dir, latestName))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	c, err := ParseCheckpoint(text)
	if err == nil && c.Size > s.last.Size {
		err = fmt.Errorf("it is over %d records, and the last one in %s over %d: that was cut", c.Size, listName, s.last.Size)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", latestName, err)
	}
	return nil
}

// checkSigner checks that the last checkpoint was signed by our key, or by the
// one that it takes over from, which then signs the next one too.
func (s *signing) checkSigner(opts Options) error {
	if s.last.Size == 0 {
		return nil
	}
	by, err := s.last.SignedBy([]PublicKey{opts.Key.Public()})
	if err != nil || len(by) == 1 {
		return err
	}
	if opts.KeyBefore == nil {
		return fmt.Errorf("the last checkpoint, of %d records by %s, is not signed by the key %s: name the key before it, too",
			s.last.Size, s.last.Origin, opts.Key.Public())
	}
	if by, err = s.last.SignedBy([]PublicKey{opts.KeyBefore.Public()}); err != nil || len(by) == 1 {
		s.keys = append(s.keys, *opts.KeyBefore)
		return err
	}
	return fmt.Errorf("the last checkpoint, of %d records by %s, is signed neither by the key %s nor by the one before, %s",
		s.last.Size, s.last.Origin, opts.Key.Public(), opts.KeyBefore.Public())
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

// startSigning takes the tree up where it was signed last, and says in the log
// whose signatures follow where that is new.
func (l *Log) startSigning() error {
	s := l.signing
	if s.last.Size > l.next {
		return &Fault{Segment: segmentName(l.cur.first), Offset: int64(l.cur.end), Seq: l.next,
			Problem: fmt.Sprintf("the log ends here, and a checkpoint of %d records is signed", s.last.Size)}
	}
	if err := l.resumeTree(); err != nil {
		return err
	}
	l.signed = s.last.Size
	if s.last.Size == 0 || len(s.keys) > 1 {
		r := &Record{Kind: KindSystem, Message: fmt.Sprintf("another key signs checkpoints; the last by the key before is of %d records", s.last.Size),
			Key: s.keys[0].Public().String()}
		if s.last.Size == 0 {
			r.Message = fmt.Sprintf("checkpoints begin; none was signed over the %d records before", l.next)
		}
		var err error
		if s.takes, err = l.Append(r); err != nil {
			return err
		}
	}
	if s.tree.n < s.last.Size || l.next-s.last.Size > stepRecords {
		l.askCheckpoint() // there is much to do
	}
	l.tasks.Go(l.signer)
	return nil
}

// resumeTree reads the stored tree as it was before the current segment, lets
// it grow by that segment's records up to the last checkpoint, and holds it to
// the signed root. Where that is another one, either the stored tree is not
// good, and is made anew in the background, or the records are not.
func (l *Log) resumeTree() (err error) {
	s := l.signing
	s.tree, err = storedHashes{s.hashes}.frontier(min(s.last.Size, l.cur.first))
	if err == nil {
		err = s.grow(s.last.Size)
	}
	if err == nil && (s.last.Size == 0 || s.tree.root() == s.last.Root) {
		return nil
	}
	if err != nil && !errors.Is(err, errNoHashes) {
		return err
	}
	var keys []PublicKey
	for _, k := range s.keys {
		keys = append(keys, k.Public())
	}
	s.rewind()
	s.tree = frontier{}
	_, err = Check{Keys: keys}.Verify(s.dir)
	return err
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
		case <-l.quit:
			return
		}
		_ = l.checkpoint(ctx) // Stats tells; the next round tries again
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
		if l.leaving() && next-s.tree.n > stepRecords {
			return nil // the next start goes on
		}
	}
	return nil
}

func (l *Log) leaving() bool {
	select {
	case <-l.quit:
		return true
	default:
		return false
	}
}

// lastCheckpoint is that of Close.
func (l *Log) lastCheckpoint() error {
	if l.signing == nil {
		return nil
	}
	return l.checkpoint(context.Background())
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
		_, err = s.list.WriteAt(append(c.Note[:len(c.Note):len(c.Note)], '\n'), s.end)
	}
	if err == nil {
		err = s.list.Sync()
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
	l.mu.Unlock()
	if l.opts.Signed != nil {
		l.opts.Signed(c)
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
