package audit

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// place is where a record stands.
type place struct {
	segment string
	offset  int64
	seq     uint64
}

// place says where the next record is expected.
func (r *reader) place() place { return place{r.name, r.offset, r.next} }

func (p place) fault(format string, args ...any) *Fault {
	return &Fault{Segment: p.segment, Offset: p.offset, Seq: p.seq, Problem: fmt.Sprintf(format, args...)}
}

// signedCheck holds a log to its checkpoints while it is read: it computes the
// tree of the records and compares it at the size of each checkpoint. A nil
// signedCheck checks nothing.
type signedCheck struct {
	trust
	retired Tombstone
	dir     string
	next    func() (Checkpoint, error, bool) // of the log's own
	stop    func()
	due     Checkpoint // the next of those; ends[0] when there is none
	more    bool
	kept    []Checkpoint // by size

	tree   frontier
	good   place // where the last good checkpoint ends
	rep    Report
	file   *os.File      // of the stored hashes; nil: there is none
	stored *bufio.Reader // nil: there are no more
	odd    *place        // of the first record whose hash is not the stored one
	buf    []byte
	was    []byte
}

// openSigned readies the check; nil when there are no keys.
func (c Check) openSigned(dir string, retired Tombstone) (*signedCheck, error) {
	if len(c.Keys) == 0 {
		if len(c.Kept) > 0 {
			return nil, errors.New("a checkpoint that was kept can be checked with a key only")
		}
		return nil, nil
	}
	s := &signedCheck{trust: trust{now: c.Keys, ever: slices.Clone(c.Keys)}, kept: slices.Clone(c.Kept), good: place{segment: segmentName(retired.Records), offset: headerSize, seq: retired.Records},
		retired: retired, dir: dir, tree: retired.tree}
	slices.SortStableFunc(s.kept, func(a, b Checkpoint) int { return cmp.Compare(a.Size, b.Size) })
	file, err := os.Open(filepath.Join(dir, hashesName))
	if err == nil {
		s.file, s.stored = file, bufio.NewReaderSize(io.NewSectionReader(file, hashesAt(retired.Records), math.MaxInt64>>1), 256<<10)
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	s.next, s.stop = iter.Pull2(checkpointsOf(dir))
	for err = s.pull(); err == nil && s.more && s.due.Size < retired.Records; {
		err = s.pull()
	}
	if err == nil {
		err = s.keptBefore()
	}
	if err != nil {
		s.close()
	}
	return s, err
}

// keptBefore checks the checkpoints that were kept of records that are retired
// now: the stored hashes must lead from them to the tombstone.
func (s *signedCheck) keptBefore() error {
	at := place{segment: retiredName, seq: s.retired.Records}
	for len(s.kept) > 0 && s.kept[0].Size < s.retired.Records {
		c := s.kept[0]
		if _, signed, err := s.signedBy(c, true); err != nil || !signed {
			return at.fault("the checkpoint of %d records is signed by none of the keys that are trusted", c.Size)
		}
		if s.file == nil {
			return fmt.Errorf("the checkpoint of %d records cannot be checked: those below %d were retired, and %s is not here", c.Size, s.retired.Records, hashesName)
		}
		proof, err := tlog.ProveTree(int64(s.retired.Records), int64(c.Size), storedHashes{s.file})
		if err == nil {
			err = tlog.CheckTree(proof, int64(s.retired.Records), s.retired.Root(), int64(c.Size), c.Root)
		}
		if err != nil {
			return at.fault("the stored hashes do not lead from the checkpoint of %d records to the %d that were retired: %v", c.Size, s.retired.Records, err)
		}
		s.kept = s.kept[1:]
	}
	return nil
}

// checkRetired checks that a key which is trusted in the end signed what says
// that records are gone.
func (s *signedCheck) checkRetired() error {
	if s.retired.Records == 0 || s.retired.signedBy(s.now) {
		return nil
	}
	return &Fault{Segment: retiredName, Seq: 0, Problem: fmt.Sprintf("it says that records 0 to %d were retired, and is signed by none of the keys that are trusted", s.retired.Records-1)}
}

func (s *signedCheck) close() {
	if s == nil {
		return
	}
	s.stop()
	if s.file != nil {
		s.file.Close() // only read from
	}
}

func (s *signedCheck) report(rep *Report) {
	if s == nil {
		return
	}
	rep.Signed, rep.Checkpoints, rep.Unknown, rep.Signer = s.rep.Signed, s.rep.Checkpoints, s.rep.Unknown, s.rep.Signer
	rep.BadHashes = s.odd != nil && s.odd.seq < s.rep.Signed
}

// pull reads the next checkpoint of the log. What that is over can be read
// from then on, also beside a writer.
func (s *signedCheck) pull() (err error) {
	s.due, err, s.more = s.next()
	return err
}

// add takes a record into the tree, and compares what is stored of it.
func (s *signedCheck) add(f frame, at place) error {
	if s == nil {
		return nil
	}
	if f.kind == KindSystem {
		if err := s.named(f.payload); err != nil {
			return at.fault("%v", err)
		}
	}
	s.buf = s.tree.grow(tlog.RecordHash(f.payload), s.buf[:0])
	if s.stored == nil {
		return nil
	}
	s.was = append(s.was[:0], s.buf...)
	if _, err := io.ReadFull(s.stored, s.was); err != nil {
		s.stored = nil // the file is behind; or gone bad, and then Prove does without
	}
	if s.odd == nil && !bytes.Equal(s.was, s.buf) {
		s.odd = &at
	}
	return nil
}

// at checks the checkpoints that end before the next record.
func (s *signedCheck) at(r *reader) error {
	if s == nil {
		return nil
	}
	for s.more && s.due.Size <= r.next {
		if s.due.Size < r.next {
			return r.fault("a checkpoint of %d records stands behind a longer one", s.due.Size)
		}
		if err := s.check(s.due, r, false); err != nil {
			return err
		}
		if err := s.pull(); err != nil {
			return err
		}
	}
	for len(s.kept) > 0 && s.kept[0].Size == r.next {
		if err := s.check(s.kept[0], r, true); err != nil {
			return err
		}
		s.kept = s.kept[1:]
	}
	return nil
}

// check holds the tree to a checkpoint. Of the log's own, those before the
// first by a key that is trusted may be by others: the later ones vouch for the
// same records.
func (s *signedCheck) check(c Checkpoint, r *reader, kept bool) error {
	by, signed, err := s.signedBy(c, kept)
	if err != nil {
		return r.fault("%v", err)
	}
	fits := c.Root == s.tree.root()
	switch {
	case !fits && signed:
		return s.changed(c)
	case !fits:
		return r.fault("the checkpoint of %d records is not of them, and by none of the keys that are trusted", c.Size)
	case !signed && (kept || s.rep.Checkpoints > 0):
		return r.fault("the checkpoint of %d records is signed by none of the keys that are trusted", c.Size)
	case !signed:
		s.rep.Unknown++
		return nil
	}
	s.good = r.place()
	s.rep.Signed, s.rep.Signer = c.Size, by[len(by)-1]
	if !kept {
		s.rep.Checkpoints++
		s.handOver(by)
	}
	return nil
}

// changed says where records are not those that were signed.
func (s *signedCheck) changed(c Checkpoint) error {
	where := fmt.Sprintf("records are not those that were signed: one or more of %d to %d is changed, missing, added or moved", s.good.seq, c.Size-1)
	if s.odd != nil && s.odd.seq >= s.good.seq {
		return s.odd.fault("%s; by the stored hashes, this is the first", where)
	}
	return s.good.fault("%s; the stored hashes do not tell which", where)
}

// end checks what nobody came to.
func (s *signedCheck) end(r *reader) error {
	if s == nil {
		return nil
	}
	if err := s.checkRetired(); err != nil {
		return err
	}
	longest := s.due
	if !s.more {
		longest = Checkpoint{}
	}
	if n := len(s.kept); n > 0 && s.kept[n-1].Size > longest.Size {
		longest = s.kept[n-1]
	}
	switch _, signed, err := s.signedBy(longest, true); {
	case longest.Size == 0 && s.rep.Checkpoints == 0:
		return r.fault("no checkpoint is signed by a key that is trusted")
	case longest.Size == 0:
		return nil
	case err != nil:
		return r.fault("%v", err)
	case !signed:
		return r.fault("the log ends here; there is a checkpoint of %d records, but by none of the keys that are trusted", longest.Size)
	case s.odd != nil && s.odd.seq >= s.good.seq:
		return s.odd.fault("the log has %d records, of %d that are signed; by the stored hashes, this is the first that is not as it was", r.next, longest.Size)
	default:
		return r.fault("the log ends here; a signed checkpoint is of %d records: %d are cut off", longest.Size, longest.Size-r.next)
	}
}

// trust is whose signatures count. A key that is trusted hands over to another
// by signing, together with it, a checkpoint over a record that names it; from
// then on it counts no more, so that nobody can use an old key.
type trust struct {
	now  []PublicKey
	ever []PublicKey
	heir []PublicKey // the one that the last record of that kind names, if it is not trusted
}

// named takes notice of a record that names a key.
func (t *trust) named(payload []byte) error {
	if !bytes.Contains(payload, []byte(`"key":"`)) {
		return nil
	}
	var r Record
	if err := json.Unmarshal(payload, &r); err != nil || r.Key == "" {
		return err
	}
	k, err := ParsePublicKey(r.Key)
	if err != nil {
		return err
	}
	t.heir = nil
	if !slices.Contains(t.now, k) {
		t.heir = []PublicKey{k}
	}
	return nil
}

// signedBy gives who of those in question signed a checkpoint, and whether one
// who is trusted is among them: now, or for one that was kept, ever.
func (t *trust) signedBy(c Checkpoint, kept bool) ([]PublicKey, bool, error) {
	trusted := t.now
	if kept {
		trusted = t.ever
	}
	if c.Size == 0 {
		return nil, false, nil
	}
	by, err := c.SignedBy(slices.Concat(trusted, t.heir))
	return by, slices.ContainsFunc(by, func(k PublicKey) bool { return slices.Contains(trusted, k) }), err
}

// handOver trusts the heir alone from now on, if it is among the signers.
func (t *trust) handOver(by []PublicKey) {
	if len(t.heir) > 0 && slices.Contains(by, t.heir[0]) {
		t.now, t.heir = t.heir, nil
		t.ever = append(t.ever, t.now...)
	}
}
