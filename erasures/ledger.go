package erasures

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Ledger is the file of erasures, for who may add to it. It may be used by many
// goroutines, and the file by many processes.
type Ledger struct {
	key    Key
	before []Key // that the key took over from
	notice func(string)
	now    func() time.Time

	mu   sync.Mutex // guards all below; held before the file's lock
	file *os.File
	index
}

// Fault is damage to the file that no crash explains.
type Fault struct {
	Path string
	Line uint64 // from 1
	Why  string
}

func (f *Fault) Error() string {
	return fmt.Sprintf("ledger of erasures %s, line %d: %s; put a copy of the file in its place", f.Path, f.Line, f.Why)
}

// Options are what a Ledger may have beside its file and key.
type Options struct {
	Before []Key            // that were used before, so that what they hashed is known
	Notice func(string)     // hears that a torn end was cut off; nil: nobody does
	Now    func() time.Time // nil: time.Now
}

// Open opens the ledger, and makes it where there is none. What a process that
// died was just writing, and had told nobody of, is cut off.
func Open(path string, key Key, o Options) (*Ledger, error) {
	l := &Ledger{key: key, before: o.Before, notice: o.Notice, now: o.Now}
	if l.now == nil {
		l.now = time.Now
	}
	var err error
	if l.file, err = create(path); err == nil {
		err = l.locked(func() error { return nil })
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the ledger of erasures: %w", err), l.Close())
	}
	return l, nil
}

// create opens the file, and makes it durably.
func create(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return file, err
	}
	return file, errors.Join(dir.Sync(), dir.Close())
}

// Close closes the file.
func (l *Ledger) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

// Read gives the entries of a ledger in order, without its key, and checks its
// chain. An end that is torn is passed over; it changes nothing.
func Read(path string, each func(Entry) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := lock(file, unix.LOCK_SH); err != nil {
		return err
	}
	var x index
	_, err = x.read(file, each)
	return err
}

// lock waits for the file's lock, which the end of the process gives back.
func lock(file *os.File, how int) error {
	for {
		err := unix.Flock(int(file.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// locked runs act while no other process adds, with all read that others added.
func (l *Ledger) locked(act func() error) (err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := lock(l.file, unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Flock(int(l.file.Fd()), unix.LOCK_UN)) }()
	if err := l.catchUp(); err != nil {
		return err
	}
	return act()
}

// catchUp reads what others have added. Nobody writes meanwhile, so an end
// without the end of a line is what somebody left who died.
func (l *Ledger) catchUp() error {
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	there, err := os.Stat(l.file.Name())
	if err != nil || !os.SameFile(info, there) || info.Size() < l.size {
		return errors.Join(err, &Fault{l.file.Name(), l.last.Seq + 1, "the file was replaced, or cut back, while it was open"})
	}
	torn, err := l.read(l.file, nil)
	if err != nil || torn == 0 {
		return err
	}
	if err := l.cut(); err != nil {
		return err
	}
	if l.notice != nil {
		l.notice(fmt.Sprintf("ledger of erasures %s: %d bytes of an entry that was not finished were cut off; the erasure that it was for has not begun", l.file.Name(), torn))
	}
	return nil
}

// cut cuts off what is behind the last entry.
func (l *Ledger) cut() error {
	return errors.Join(l.file.Truncate(l.size), l.file.Sync())
}

// read takes in the entries behind those that are known, and tells how many
// bytes at the end are of none.
func (x *index) read(file *os.File, each func(Entry) error) (torn int, err error) {
	lines := bufio.NewReaderSize(io.NewSectionReader(file, x.size, 1<<62), maxLine)
	for {
		line, err := lines.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF):
			return len(line), nil
		case errors.Is(err, bufio.ErrBufferFull):
			return 0, &Fault{file.Name(), x.last.Seq + 1, "it is too long"}
		case err != nil:
			return 0, err
		}
		e, err := decode(bytes.TrimSuffix(line, []byte("\n")))
		if err == nil {
			err = x.follows(e)
		}
		if err != nil {
			return 0, &Fault{file.Name(), x.last.Seq + 1, err.Error()}
		}
		x.add(e, len(line))
		if each == nil {
			continue
		}
		if err := each(e); err != nil {
			return 0, err
		}
	}
}

// outcomeRoom is what an outcome takes at most. Room for one is set aside with
// each intention: what has begun can be written down however full the disk is.
const outcomeRoom = 4 << 10

// append writes an entry behind the last one, durably, or leaves the file as it
// was.
func (l *Ledger) append(e *Entry) error {
	e.Seq, e.Prev, e.Time = l.last.Seq+1, l.last.Digest, l.now().UTC().Round(0)
	line, err := e.encode()
	if err != nil {
		return err
	}
	if err := l.follows(*e); err != nil {
		return err
	}
	if e.State == Intended {
		if err := l.reserve(len(line) + (len(l.open)+1)*outcomeRoom); err != nil {
			return err
		}
	}
	_, err = l.file.WriteAt(line, l.size)
	if err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		return errors.Join(err, l.cut())
	}
	l.add(*e, len(line))
	return nil
}

// reserve makes sure of room behind the last entry, where the file system can.
func (l *Ledger) reserve(n int) error {
	err := unix.Fallocate(int(l.file.Fd()), unix.FALLOC_FL_KEEP_SIZE, l.size, int64(n))
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil // then the outcome may have to wait for room
	}
	return err
}
