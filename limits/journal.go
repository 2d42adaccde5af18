package limits

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgveil/pgveil/policy"
)

// Journal is a Ledger in a file, which all processes of a machine that open it
// share, and which outlives them. What was counted is in the file before the
// answer is given, so a process that is killed takes nothing back. A machine that
// loses its power may lose what was counted since Sync.
//
// The file is a header and entries, each of a change of one counter. A lock file
// beside it makes one process at a time read what others have added, count, and
// add. When most entries count no more, a new file takes the place of the old one.
type Journal struct {
	path string
	lock *os.File

	mu     sync.Mutex
	memory *Memory
	file   *os.File
	size   int64 // of what was read, or written
	dirty  bool
	buf    []byte
}

const (
	journalHeader = "pgveil limits 1\n"
	headLength    = 8       // of an entry: its length and CRC
	maxEntry      = 1 << 26 // more subjects than a question has
	compactFrom   = 4 << 20 // bytes below which nobody looks whether entries still count
)

// OpenJournal opens a journal, and makes it where there is none.
func OpenJournal(path string, now func() time.Time) (*Journal, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("limits: %w", err)
	}
	lock, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("limits: %w", err)
	}
	j := &Journal{path: path, lock: lock, memory: NewMemory(now)}
	if _, err := j.Ask(context.Background(), nil); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return j, nil
}

// Waits tells that an answer takes no longer than some system calls.
func (j *Journal) Waits() bool { return false }

// Ask counts, and writes down what it counted.
func (j *Journal) Ask(_ context.Context, asks []Ask) ([]Answer, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var answers []Answer
	err := j.alone(func() error {
		if err := j.catchUp(); err != nil {
			return err
		}
		j.buf = j.buf[:0]
		answers = j.memory.ask(asks, func(a Ask) { j.buf = appendEntry(j.buf, a) })
		return j.write()
	})
	if err != nil {
		return nil, fmt.Errorf("limits: %s: %w", j.path, err)
	}
	return answers, nil
}

// alone runs act while no other process has the lock.
func (j *Journal) alone(act func() error) error {
	for {
		err := unix.Flock(int(j.lock.Fd()), unix.LOCK_EX)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("lock: %w", err)
		}
	}
	return errors.Join(act(), unix.Flock(int(j.lock.Fd()), unix.LOCK_UN))
}

// catchUp reads what other processes have added, or the whole file when another
// one has taken its place.
func (j *Journal) catchUp() error {
	there, err := os.Stat(j.path)
	if errors.Is(err, os.ErrNotExist) {
		return j.create()
	}
	if err != nil {
		return err
	}
	if !j.has(there) {
		if err := j.open(); err != nil {
			return err
		}
	}
	if there.Size() == j.size {
		return nil
	}
	more := make([]byte, there.Size()-min(j.size, there.Size()))
	if _, err := j.file.ReadAt(more, j.size); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return j.replay(more)
}

func (j *Journal) has(there os.FileInfo) bool {
	if j.file == nil || there.Size() < j.size {
		return false
	}
	ours, err := j.file.Stat()
	return err == nil && os.SameFile(ours, there)
}

// open opens the file that is there now, of which nothing is read yet.
func (j *Journal) open() error {
	f, err := os.OpenFile(j.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	head := make([]byte, len(journalHeader))
	if n, err := f.ReadAt(head, 0); err != nil || string(head) != journalHeader {
		if err == nil || errors.Is(err, io.EOF) {
			err = fmt.Errorf("it does not begin as a journal of limits does (%d bytes): move it away, and what was counted begins anew", n)
		}
		return errors.Join(err, f.Close())
	}
	j.closeFile()
	j.file, j.size = f, int64(len(head))
	j.memory = NewMemory(j.memory.now)
	return nil
}

// create makes a file of what the memory has. The memory of a process that begins
// is empty.
func (j *Journal) create() error {
	next, err := os.CreateTemp(filepath.Dir(j.path), filepath.Base(j.path)+".new*")
	if err != nil {
		return err
	}
	text := append([]byte(journalHeader), j.memory.entries()...)
	_, err = next.Write(text)
	if err == nil {
		err = next.Sync()
	}
	if err == nil {
		err = os.Rename(next.Name(), j.path)
	}
	if err != nil {
		return errors.Join(err, next.Close(), os.Remove(next.Name()))
	}
	j.closeFile()
	j.file, j.size, j.dirty = next, int64(len(text)), true
	return nil
}

// replay counts what entries say. An entry that ends beyond the file was cut off
// with the process that wrote it: nobody got an answer.
func (j *Journal) replay(text []byte) error {
	now := j.memory.clock()
	for len(text) > 0 {
		a, n, err := readEntry(text)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return j.file.Truncate(j.size)
		}
		if err != nil {
			return fmt.Errorf("at byte %d: %w: move it away, and what was counted begins anew", j.size, err)
		}
		j.memory.apply(a, now)
		j.size += int64(n)
		text = text[n:]
	}
	return nil
}

// write adds what was counted to the file.
func (j *Journal) write() error {
	if len(j.buf) == 0 {
		return nil
	}
	if j.size > compactFrom && j.size > 4*j.memory.size() {
		return j.create() // of what has just been counted as well
	}
	if _, err := j.file.WriteAt(j.buf, j.size); err != nil {
		return errors.Join(err, j.file.Truncate(j.size)) // what was counted counts in this process: better too much
	}
	j.size += int64(len(j.buf))
	j.dirty = true
	return nil
}

// Sync makes what was counted survive the machine.
func (j *Journal) Sync(context.Context) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.dirty {
		return nil
	}
	if err := unix.Fdatasync(int(j.file.Fd())); err != nil {
		return fmt.Errorf("limits: %s: %w", j.path, err)
	}
	j.dirty = false
	return nil
}

// Close closes the files.
func (j *Journal) Close() error {
	err := j.Sync(context.Background())
	j.mu.Lock()
	defer j.mu.Unlock()
	return errors.Join(err, j.file.Close(), j.lock.Close())
}

func (j *Journal) closeFile() {
	if j.file != nil {
		_ = j.file.Close() // its entries are in the one that takes its place
	}
}

// apply counts what an entry says.
func (m *Memory) apply(a Ask, now int64) {
	if !a.Counter.lasts(a.Slot, now) {
		return
	}
	c := m.counters[a.Counter]
	if c == nil {
		c = &count{}
		m.counters[a.Counter] = c
	}
	c.expire(a.Counter, now)
	if a.Amount < 0 {
		c.takeBack(a.Slot, -a.Amount)
	} else {
		c.add(a.Slot, a.Amount)
	}
	for _, s := range a.Subjects {
		c.note(a.Slot, s)
	}
}

// entries gives all that counts still, as entries.
func (m *Memory) entries() (text []byte) {
	now := m.clock()
	for k, c := range m.counters {
		c.expire(k, now)
		for _, a := range c.amounts {
			if a.n != 0 {
				text = appendEntry(text, Ask{Counter: k, Slot: a.slot, Amount: a.n})
			}
		}
		for _, s := range c.slots {
			for ids := range slices.Chunk(s.subjects, 1<<16) {
				text = appendEntry(text, Ask{Counter: k, Slot: s.slot, Subjects: ids})
			}
		}
	}
	return text
}

// size estimates the length of all entries.
func (m *Memory) size() (n int64) {
	for _, c := range m.counters {
		n += int64(len(c.amounts))*64 + int64(len(c.slots))*64 + int64(len(c.last))*int64(len(Subject{}))
	}
	return n
}

func appendEntry(b []byte, a Ask) []byte {
	start := len(b)
	b = append(b, make([]byte, headLength)...)
	b = append(b, byte(a.Counter.Of), byte(a.Counter.Whose))
	b = appendText(appendText(b, a.Counter.Name), a.Counter.Who)
	b = binary.AppendVarint(b, int64(a.Counter.Window))
	b = binary.AppendVarint(binary.AppendVarint(b, a.Slot), a.Amount)
	for i := range a.Subjects {
		b = append(b, a.Subjects[i][:]...)
	}
	body := b[start+headLength:]
	binary.LittleEndian.PutUint32(b[start:], uint32(len(body)))
	binary.LittleEndian.PutUint32(b[start+4:], crc32.Checksum(body, castagnoli))
	return b
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

var errCorrupt = errors.New("an entry is not as it was written")

// readEntry reads the first of some entries, and gives its length.
func readEntry(text []byte) (a Ask, n int, err error) {
	if len(text) < headLength {
		return a, 0, io.ErrUnexpectedEOF
	}
	length := binary.LittleEndian.Uint32(text)
	if length > maxEntry {
		return a, 0, errCorrupt
	}
	if n = headLength + int(length); len(text) < n {
		return a, 0, io.ErrUnexpectedEOF
	}
	body := text[headLength:n]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(text[4:]) {
		return a, 0, errCorrupt
	}
	if a, err = readBody(body); err != nil {
		return a, 0, errCorrupt
	}
	return a, n, nil
}

func readBody(body []byte) (a Ask, err error) {
	r := bytes.NewReader(body)
	var kinds [2]byte
	if _, err = io.ReadFull(r, kinds[:]); err != nil {
		return a, err
	}
	a.Counter.Of, a.Counter.Whose = policy.Measure(kinds[0]), policy.Whose(kinds[1])
	for _, into := range []*string{&a.Counter.Name, &a.Counter.Who} {
		n, err := binary.ReadUvarint(r)
		if err != nil || n > uint64(r.Len()) {
			return a, errCorrupt
		}
		text := make([]byte, n)
		if _, err := io.ReadFull(r, text); err != nil {
			return a, err
		}
		*into = string(text)
	}
	var numbers [3]int64
	for i := range numbers {
		if numbers[i], err = binary.ReadVarint(r); err != nil {
			return a, err
		}
	}
	a.Counter.Window, a.Slot, a.Amount = time.Duration(numbers[0]), numbers[1], numbers[2]
	if r.Len()%len(Subject{}) != 0 {
		return a, errCorrupt
	}
	a.Subjects = make([]Subject, r.Len()/len(Subject{}))
	for i := range a.Subjects {
		if _, err := io.ReadFull(r, a.Subjects[i][:]); err != nil {
			return a, err
		}
	}
	return a, nil
}
