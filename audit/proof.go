package audit

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	proofHeader = "c2sp.org/tlog-proof@v1"
	maxProof    = 1 << 20 // more than any has
)

// Proof proves that a record is in a log: the record, its place, and the path
// from it to the root of a signed checkpoint.
type Proof struct {
	Record     Record
	Payload    []byte // the record as it stands in the log
	Checkpoint Checkpoint
	path       tlog.RecordProof
}

// Prove gives the proof of one record, as a Prover does.
func Prove(dir string, seq uint64) (Proof, error) { return NewProver(dir).Prove(seq) }

// latest gives the last checkpoint of a log.
func latest(dir string) (last Checkpoint, err error) {
	for c, err := range checkpointsOf(dir) {
		if err != nil {
			return c, err
		}
		last = c
	}
	if last.Size == 0 {
		return last, errors.New("it has no checkpoint: none was ever signed, or the files are not here")
	}
	return last, nil
}

// withHashes runs a function over the stored hashes of a log, and where that
// fails over those that its records have.
func withHashes(dir string, size uint64, run func(tlog.HashReader) error) error {
	file, err := os.Open(filepath.Join(dir, hashesName))
	if err == nil {
		defer file.Close()
		if run(storedHashes{file}) == nil {
			return nil
		}
	}
	return run(recordHashes{dir, size})
}

// recordHashes is a tlog.HashReader that computes what is asked for from the
// first size records of a log, in one pass.
type recordHashes struct {
	dir  string
	size uint64
}

// ReadHashes computes hashes by their index.
func (h recordHashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	wanted := map[int64]tlog.Hash{}
	for _, x := range indexes {
		wanted[x] = tlog.Hash{}
	}
	err := readFrom(h.dir, 0, false, func(r *reader) error {
		tree := r.retired.tree
		for level := range tree.full { // of what was retired, this is known
			if tree.n>>level&1 == 1 {
				wanted[tlog.StoredHashIndex(level, int64(tree.n>>level)-1)] = tree.full[level]
			}
		}
		var buf []byte
		for index := tlog.StoredHashCount(int64(tree.n)); tree.n < h.size; {
			f, err := r.read()
			if err != nil {
				return err
			}
			buf = tree.grow(tlog.RecordHash(f.payload), buf[:0])
			for b := buf; len(b) > 0; b = b[tlog.HashSize:] {
				if _, ok := wanted[index]; ok {
					wanted[index] = tlog.Hash(b)
				}
				index++
			}
		}
		return nil
	})
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("the log has fewer than %d records", h.size)
	}
	list := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		list[i] = wanted[x]
	}
	return list, err
}

// Marshal writes a proof as c2sp.org/tlog-proof says, with the record as the
// extra data, so that the file needs nothing beside it but the public key.
func (p Proof) Marshal() []byte {
	b := fmt.Appendf(nil, "%s\nextra %s\nindex %d\n", proofHeader, base64.StdEncoding.EncodeToString(p.Payload), p.Record.Seq)
	for _, h := range p.path {
		b = fmt.Appendln(b, h)
	}
	return append(append(b, '\n'), p.Checkpoint.Note...)
}

// CheckProof reads what Marshal wrote and checks it, by itself: that one of the
// keys signed the checkpoint, and that the record is under it.
func CheckProof(text []byte, keys []PublicKey) (Proof, error) {
	p, index, err := parseProof(text)
	if err == nil {
		err = p.check(index, keys)
	}
	if err != nil {
		return Proof{}, fmt.Errorf("check proof: %w", err)
	}
	return p, nil
}

// ReadProof reads what Marshal wrote and checks nothing: for who shows what was
// checked before.
func ReadProof(text []byte) (Proof, error) {
	p, _, err := parseProof(text)
	if err == nil {
		err = json.Unmarshal(p.Payload, &p.Record)
	}
	if err != nil {
		return Proof{}, fmt.Errorf("read proof: %w", err)
	}
	return p, nil
}

func parseProof(text []byte) (p Proof, index uint64, err error) {
	head, signed, ok := strings.Cut(string(text[:min(len(text), maxProof)]), "\n\n")
	lines := strings.Split(head, "\n")
	if !ok || len(lines) < 3 || lines[0] != proofHeader || !strings.HasPrefix(lines[1], "extra ") || !strings.HasPrefix(lines[2], "index ") {
		return p, 0, errors.New("it is no file that \"pgveil audit prove\" writes")
	}
	if p.Payload, err = base64.StdEncoding.DecodeString(lines[1][len("extra "):]); err != nil {
		return p, 0, fmt.Errorf("the record: %w", err)
	}
	if index, err = strconv.ParseUint(lines[2][len("index "):], 10, 63); err != nil {
		return p, 0, fmt.Errorf("the index: %w", err)
	}
	for _, line := range lines[3:] {
		h, err := tlog.ParseHash(line)
		if err != nil {
			return p, 0, fmt.Errorf("the path: %w", err)
		}
		p.path = append(p.path, h)
	}
	p.Checkpoint, err = ParseCheckpoint([]byte(signed))
	return p, index, err
}

func (p *Proof) check(index uint64, keys []PublicKey) error {
	by, err := p.Checkpoint.SignedBy(keys)
	if err != nil {
		return err
	}
	if len(by) == 0 {
		return fmt.Errorf("its checkpoint, of %s, is signed by none of the keys", p.Checkpoint.Origin)
	}
	if index >= p.Checkpoint.Size {
		return fmt.Errorf("record %d cannot be under a checkpoint of %d", index, p.Checkpoint.Size)
	}
	if err := tlog.CheckRecord(p.path, int64(p.Checkpoint.Size), p.Checkpoint.Root, int64(index), tlog.RecordHash(p.Payload)); err != nil {
		return fmt.Errorf("the record is not the one that is signed: %w", err)
	}
	if err := json.Unmarshal(p.Payload, &p.Record); err != nil {
		return fmt.Errorf("the record: %w", err)
	}
	if p.Record.Seq != index {
		return fmt.Errorf("the record says that it is %d, and stands at %d", p.Record.Seq, index)
	}
	return nil
}

// CheckConsistency checks that a log whose tree newer is of began as older says:
// that nothing under older was changed on the way. It computes the proof from
// the log in dir, whose records need not be believed for that.
func CheckConsistency(dir string, older, newer Checkpoint) error {
	switch {
	case older.Origin != newer.Origin:
		return fmt.Errorf("check consistency: %s and %s are two logs", older.Origin, newer.Origin)
	case older.Size > newer.Size:
		return fmt.Errorf("check consistency: the older checkpoint is of %d records, the newer of %d", older.Size, newer.Size)
	case older.Size == newer.Size && older.Root != newer.Root:
		return fmt.Errorf("check consistency: there are two logs of %d records", older.Size)
	case older.Size == newer.Size || older.Size == 0:
		return nil
	}
	err := withHashes(dir, newer.Size, func(h tlog.HashReader) error {
		proof, err := tlog.ProveTree(int64(newer.Size), int64(older.Size), h)
		if err != nil {
			return err
		}
		return tlog.CheckTree(proof, int64(newer.Size), newer.Root, int64(older.Size), older.Root)
	})
	if err != nil {
		return fmt.Errorf("check consistency: the log in %s does not lead from the checkpoint of %d records to that of %d: %w", dir, older.Size, newer.Size, err)
	}
	return nil
}
