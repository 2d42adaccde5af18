package audit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	latestName = "checkpoint"      // the last one, by itself
	listName   = "checkpoints.log" // every one, an empty line behind each
)

// Checkpoint says that the first Size records of a log have the Merkle tree
// hash Root. It stands in a signed note: origin, size and root, a line each,
// an empty line, and the signatures. This is c2sp.org/tlog-checkpoint without
// extension lines.
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   tlog.Hash
	Note   []byte // as signed
}

// sign makes a checkpoint with one or several keys of the same origin.
func sign(size uint64, root tlog.Hash, keys []Key) (Checkpoint, error) {
	var signers []note.Signer
	for _, k := range keys {
		signers = append(signers, k)
	}
	c := Checkpoint{Origin: keys[0].Name(), Size: size, Root: root}
	var err error
	c.Note, err = note.Sign(&note.Note{Text: fmt.Sprintf("%s\n%d\n%s\n", c.Origin, size, root)}, signers...)
	if err != nil {
		return c, fmt.Errorf("sign checkpoint: %w", err)
	}
	return c, nil
}

// ParseCheckpoint reads a note as a checkpoint. Who signed it, SignedBy tells.
func ParseCheckpoint(signed []byte) (Checkpoint, error) {
	text, signatures, ok := strings.Cut(string(signed), "\n\n")
	lines := strings.Split(text, "\n")
	if !ok || len(lines) != 3 || lines[0] == "" || len(lines[0]) > maxOrigin || !strings.HasPrefix(signatures, "— ") || !strings.HasSuffix(signatures, "\n") {
		return Checkpoint{}, errors.New("parse checkpoint: it is not a note of origin, size and root, with signatures")
	}
	size, err := strconv.ParseUint(lines[1], 10, 63)
	if err != nil || strconv.FormatUint(size, 10) != lines[1] {
		return Checkpoint{}, fmt.Errorf("parse checkpoint: %q is not a size", lines[1])
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil || root.String() != lines[2] {
		return Checkpoint{}, fmt.Errorf("parse checkpoint: %q is not a root", lines[2])
	}
	return Checkpoint{lines[0], size, root, signed}, nil
}

// SignedBy gives those of the keys that signed. It is an error when one of
// them is named as a signer and its signature is wrong.
func (c Checkpoint) SignedBy(keys []PublicKey) ([]PublicKey, error) {
	var verifiers []note.Verifier
	for i, k := range keys {
		if k.name == c.Origin && !slices.Contains(keys[:i], k) {
			verifiers = append(verifiers, k)
		}
	}
	n, err := note.Open(c.Note, note.VerifierList(verifiers...))
	if errors.As(err, new(*note.UnverifiedNoteError)) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("checkpoint of %d records: %w", c.Size, err)
	}
	var by []PublicKey
	for _, k := range keys {
		if slices.ContainsFunc(n.Sigs, func(s note.Signature) bool { return s.Name == k.name && s.Hash == k.KeyHash() }) {
			by = append(by, k)
		}
	}
	return by, nil
}

// ReadCheckpoints reads a file of checkpoints: one, or a list with an empty
// line between them. An end that a crash cut short is not an error.
func ReadCheckpoints(src io.Reader) iter.Seq2[Checkpoint, error] {
	return func(yield func(Checkpoint, error) bool) {
		lines := bufio.NewReaderSize(src, 16<<10)
		for {
			signed, err := readNote(lines)
			if err != nil {
				if !errors.Is(err, io.EOF) {
					yield(Checkpoint{}, err)
				}
				return
			}
			if c, err := ParseCheckpoint(signed); !yield(c, err) || err != nil {
				return
			}
		}
	}
}

// readNote reads a text and its signatures, each up to an empty line or, of
// the signatures, the end; io.EOF when there is none, or not all of one.
func readNote(lines *bufio.Reader) ([]byte, error) {
	var b []byte
	for empty := 0; empty < 2; {
		line, err := lines.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF) && empty == 1 && len(line) == 0 && bytes.Contains(b, []byte("\n\n— ")):
			return b, nil
		case errors.Is(err, bufio.ErrBufferFull) || len(b) > 64<<10:
			return nil, errors.New("read checkpoints: this is no file of checkpoints")
		case err != nil:
			return nil, err
		case len(line) > 1:
		case len(b) == 0:
			continue // before the first
		default:
			if empty++; empty == 2 {
				return b, nil
			}
		}
		b = append(b, line...)
	}
	return b, nil
}

// checkpointsOf reads the list of a log's checkpoints, and the last one by
// itself where the list does not have it. It is empty where there are none.
func checkpointsOf(dir string) iter.Seq2[Checkpoint, error] {
	return func(yield func(Checkpoint, error) bool) {
		var size uint64
		for _, name := range []string{listName, latestName} {
			f, err := os.Open(filepath.Join(dir, name))
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			if err != nil {
				yield(Checkpoint{}, err)
				return
			}
			defer f.Close()
			for c, err := range ReadCheckpoints(f) {
				if err == nil && name == latestName && c.Size <= size {
					continue
				}
				if size = c.Size; !yield(c, err) || err != nil {
					return
				}
			}
		}
	}
}

// lastOf gives the last whole checkpoint of a list, none of size 0 when there
// is none, and where the list ends with it.
func lastOf(list *os.File) (Checkpoint, int64, error) {
	const tail = 16 << 10 // more than two checkpoints take
	info, err := list.Stat()
	if err != nil {
		return Checkpoint{}, 0, err
	}
	from := max(0, info.Size()-tail)
	b := make([]byte, info.Size()-from)
	if _, err := list.ReadAt(b, from); err != nil {
		return Checkpoint{}, 0, err
	}
	gap := []byte("\n\n")
	for end := bytes.LastIndex(b, gap); end >= 0; end = bytes.LastIndex(b[:end], gap) {
		middle := bytes.LastIndex(b[:end], gap)
		if middle < 0 || !bytes.HasPrefix(b[middle+len(gap):], []byte("— ")) {
			continue // a text whose signatures a crash kept back
		}
		start := bytes.LastIndex(b[:middle], gap) + len(gap)
		if start < len(gap) {
			start = 0
		}
		c, err := ParseCheckpoint(b[start : end+1])
		return c, from + int64(end+len(gap)), err
	}
	if from > 0 {
		return Checkpoint{}, 0, errors.New("its end is no list of checkpoints")
	}
	return Checkpoint{}, 0, nil
}

// AppendCheckpoint appends a checkpoint to a list, durably, unless it is its
// last. An end that is not whole, which a crash leaves, is replaced.
func AppendCheckpoint(path string, c Checkpoint) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("append to checkpoints %s: %w", path, err)
		}
	}()
	list, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, list.Close()) }()
	last, end, err := lastOf(list)
	if err != nil || bytes.Equal(last.Note, c.Note) {
		return err
	}
	if err := list.Truncate(end); err != nil {
		return err
	}
	return c.appendTo(list, end)
}

// appendTo writes a checkpoint where a list ends, durably.
func (c Checkpoint) appendTo(list *os.File, end int64) error {
	if _, err := list.WriteAt(append(c.Note[:len(c.Note):len(c.Note)], '\n'), end); err != nil {
		return err
	}
	return list.Sync()
}
