package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// openSigning finds the last checkpoint in dir, and checks who signed it.
func openSigning(dir string, opts Options) (s *signing, err error) {
	if opts.Key == nil && opts.Retention.Keep > 0 {
		return nil, errors.New("records that are removed take a key that signs which")
	}
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
	s = &signing{dir: dir, keys: []Key{*opts.Key}, wake: make(chan struct{}, 1), retirement: retirement{asked: make(chan chan error)}}
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

// takeTombstone reads what says which records are gone, and checks that our key
// signed that, or the one that it takes over from: then both sign it anew.
func (l *Log) takeTombstone() error {
	t, err := readTombstone(l.dir)
	if err != nil || t.Records == 0 {
		return err
	}
	s := l.signing
	if s == nil {
		return fmt.Errorf("records were removed, and %s is signed: the log needs its key", retiredName)
	}
	if !t.signedBy([]PublicKey{l.opts.Key.Public()}) {
		if l.opts.KeyBefore == nil || !t.signedBy([]PublicKey{l.opts.KeyBefore.Public()}) {
			return fmt.Errorf("%s, of %d records that were removed, is not signed by the key %s, nor by one before", retiredName, t.Records, l.opts.Key.Public())
		}
		if err := t.sign([]Key{*l.opts.Key, *l.opts.KeyBefore}); err != nil {
			return err
		}
		if err := replaceFile(l.lock, filepath.Join(l.dir, retiredName), t.Note); err != nil {
			return err
		}
	}
	s.tomb, l.first = t, t.Records
	return nil
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
	if err := l.sweep(s.tomb.Records); err != nil { // what a crash kept from being removed
		return err
	}
	l.signed, s.opened = s.last.Size, s.last
	s.opened.Origin = s.keys[0].Name()
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
// good, and is made anew in the background as far as there are records, or these
// are not.
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
	s.tree = s.tomb.tree
	_, err = Check{Keys: keys}.Verify(s.dir)
	return err
}
