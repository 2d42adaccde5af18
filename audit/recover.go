package audit

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// recover finds the end of the log and readies the last segment for writing.
// The notes say what it had to cut off.
//
// What a crash can leave behind is known exactly, and everything else stops
// the start. The death of the process leaves at most one unfinished frame at
// the very end, because the system holds all that was appended. The death of
// the system can also lose pages out of order, so that good frames stand
// behind a gap, but only above the mark and only in segments that are not
// sealed.
func (l *Log) recover() (notes []string, err error) {
	if err := os.Remove(filepath.Join(l.dir, spareName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	firsts, t, err := remaining(l.dir)
	if err != nil {
		return nil, err
	}
	if len(firsts) == 0 && l.signing.floor() > 0 {
		return nil, missing(0, l.signing.floor())
	}
	if len(firsts) == 0 {
		return nil, l.create()
	}
	if t.Records > 0 {
		if err := l.checkJoint(t.Records, t.Chain, firsts[0]); err != nil {
			return nil, err
		}
	}
	for i := range firsts {
		sealed, err := l.checkSealed(firsts[i:])
		if err != nil {
			return nil, err
		}
		if !sealed {
			return l.recoverTail(firsts[i:])
		}
	}
	return nil, &Fault{Segment: segmentName(firsts[len(firsts)-1]), Problem: "the segment is sealed, and the one after it is missing"}
}

func missing(from, to uint64) *Fault {
	return &Fault{Segment: segmentName(to), Seq: from, Problem: fmt.Sprintf("records %d to %d are missing", from, to-1)}
}

// create makes the first segment.
func (l *Log) create() error {
	s, err := allocate(l.dir, spareName, l.opts.SegmentSize)
	if err != nil {
		return err
	}
	err = s.begin(l.dir, spareName, header{boot: l.boot})
	if err == nil {
		err = errors.Join(s.sync(), l.lock.Sync())
	}
	if err != nil {
		return errors.Join(err, s.close())
	}
	l.cur, l.count, l.bytes = s, 1, headerSize
	return nil
}

// checkSealed tells whether the first of the segments is sealed, and if so
// checks that the next one follows from its last record. What lies between is
// for Verify: a start must not take as long as reading everything.
func (l *Log) checkSealed(firsts []uint64) (bool, error) {
	s, file, err := l.open(firsts[0])
	if err != nil {
		return false, err
	}
	defer file.Close()
	if s.last == 0 {
		return false, nil
	}
	l.count++
	if len(firsts) == 1 {
		return true, nil // for the caller to tell
	}
	b, err := s.at(int64(s.last), maxFrame)
	if err != nil {
		return false, err
	}
	f, ok := parseFrame(b, s.idSum)
	if !ok {
		return false, &Fault{Segment: s.name, Offset: int64(s.last), Problem: "the last record is damaged"}
	}
	l.bytes += int64(s.last) + int64(frameSize+len(f.payload))
	l.latest = f.time()
	return true, l.checkJoint(f.seq+1, f.chain, firsts[1])
}

// checkJoint checks that the segment that begins with record first follows
// from a chain that has come to next.
func (l *Log) checkJoint(next uint64, chain hash, first uint64) error {
	if first != next {
		return missing(next, first)
	}
	s, file, err := l.open(first)
	if err != nil {
		return err
	}
	defer file.Close()
	if s.chain != chain {
		return &Fault{Segment: s.name, Seq: first, Problem: "the chain hash in the header does not follow from the segment before"}
	}
	return nil
}

func (l *Log) open(first uint64) (*scanner, *os.File, error) {
	file, err := os.Open(filepath.Join(l.dir, segmentName(first)))
	if err != nil {
		return nil, nil, err
	}
	s, err := newScanner(file, first, true)
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	s.floor = l.signing.floor()
	return s, file, nil
}

// recoverTail goes through the segments that are not sealed: usually the last
// alone.
func (l *Log) recoverTail(firsts []uint64) (notes []string, err error) {
	for {
		end, note, err := l.readTail(firsts[0])
		if err != nil {
			return nil, err
		}
		if len(firsts) > 1 {
			err = l.checkJoint(end.next, end.before, firsts[1])
		}
		var fault *Fault
		switch {
		case errors.As(err, &fault) && !l.sameRun(end):
			// The system died before the end of this segment was durable, and
			// so before anybody was told that a record of the next one is.
			dropped, err := l.drop(firsts[1:])
			if err != nil {
				return nil, err
			}
			notes, firsts = append(notes, dropped), firsts[:1]
		case err != nil:
			return nil, err
		}
		if len(firsts) == 1 {
			if note != "" {
				notes = append(notes, note)
			}
			return notes, l.resume(end)
		}
		if err := l.sealAgain(end, firsts[1]); err != nil {
			return nil, err
		}
		firsts = firsts[1:]
	}
}

// sameRun tells whether the system has been up since the segment was last
// written, so that nothing written to it can be lost.
func (l *Log) sameRun(s *scanner) bool { return s.boot == l.boot && l.boot != bootID{} }

// readTail reads a segment that is not sealed to its last good frame. The note
// says what lies behind it, when that is what a crash can leave; else the
// error does.
func (l *Log) readTail(first uint64) (*scanner, string, error) {
	s, file, err := l.open(first)
	if err != nil {
		return nil, "", err
	}
	defer file.Close()
	for err == nil {
		_, err = s.scan()
	}
	if s.tip > 0 {
		l.latest = s.lastTime()
	}
	r, err := s.judge(err)
	switch {
	case err != nil:
		return nil, "", err
	case r.whole > 0 && l.sameRun(s):
		return nil, "", s.fault("it is damaged; %d whole records stand behind it, and the system has not crashed since", r.whole)
	case r.bytes > 0:
		return s, fmt.Sprintf("recovered: cut %d bytes (%d whole records) that a crash left at byte %d of %s, where record %d was to stand",
			r.bytes, r.whole, s.offset, s.name, s.next), nil
	}
	return s, "", nil
}

// drop puts segments aside, under a name that is not a segment's.
func (l *Log) drop(firsts []uint64) (note string, err error) {
	var names []string
	for _, first := range firsts {
		name := segmentName(first)
		if err := os.Rename(filepath.Join(l.dir, name), filepath.Join(l.dir, name+".dropped")); err != nil {
			return "", err
		}
		names = append(names, name)
	}
	return fmt.Sprintf("recovered: put aside %s, which a crash separated from the records before; none of it was durable",
		strings.Join(names, ", ")), l.lock.Sync()
}

// sealAgain seals a segment that a crash kept from being sealed.
func (l *Log) sealAgain(end *scanner, next uint64) error {
	following, err := os.Open(filepath.Join(l.dir, segmentName(next)))
	if err != nil {
		return err
	}
	if err := errors.Join(following.Sync(), following.Close()); err != nil {
		return err
	}
	s, err := l.remap(end)
	if err != nil {
		return err
	}
	l.count++
	l.bytes += end.offset
	return l.flush([]*segment{s}, s)
}

// resume makes a segment the current one, with nothing but zeros behind its
// last frame: what was cut off must never come to stand behind a new frame.
func (l *Log) resume(end *scanner) error {
	s, err := l.remap(end)
	if err != nil {
		return err
	}
	page := os.Getpagesize()
	for at := s.end; at < len(s.data); at = (at/page + 1) * page {
		clearPage(s.data[at:min((at/page+1)*page, len(s.data))])
	}
	err = s.sync()
	if err != nil {
		return errors.Join(err, s.close())
	}
	copy(s.data[bootAt:], l.boot[:])
	l.cur, l.next, l.chain = s, end.next, end.before
	l.count++
	l.bytes += end.offset
	l.durable.Store(end.next)
	return nil
}

// clearPage zeroes what is not zero; the other pages need not become dirty.
func clearPage(b []byte) {
	for i, c := range b {
		if c != 0 {
			clear(b[i:])
			return
		}
	}
}

// remap maps a segment for writing from where a scanner came to.
func (l *Log) remap(end *scanner) (*segment, error) {
	info, err := os.Stat(filepath.Join(l.dir, end.name))
	if err != nil {
		return nil, err
	}
	s, err := l.mapAgain(end.name, max(info.Size(), l.opts.SegmentSize))
	if errors.Is(err, unix.ENOSPC) {
		s, err = l.mapAgain(end.name, info.Size()) // it was the reserve, say, and there is no room for more
	}
	if err != nil {
		return nil, err
	}
	s.header, s.idSum, s.end, s.tip = end.header, end.idSum, int(end.offset), int(end.tip)
	return s, nil
}

func (l *Log) mapAgain(name string, size int64) (*segment, error) {
	file, err := os.OpenFile(filepath.Join(l.dir, name), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return mapSegment(file, size)
}

// currentBoot names this run of the operating system; zero when it does not
// say, which is taken for a run of its own.
func currentBoot() bootID {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return bootID{}
	}
	id, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(string(text)), "-", ""))
	if err != nil || len(id) != len(bootID{}) {
		return bootID{}
	}
	return bootID(id)
}
