package audit

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// Prover proves records of one log, one after the other: it remembers the last
// checkpoint that it has read, and where some records lie. What it finds there is
// held to the checkpoint all the same. It may be used by one goroutine at a time.
type Prover struct {
	dir   string
	last  Checkpoint
	marks []mark // by seq
}

// mark is where a record begins.
type mark struct {
	segment uint64 // the first record of it
	seq     uint64
	offset  int64
}

// recordsApart is how many records lie between two marks, at least.
const recordsApart = 256

// NewProver gives one that has read nothing yet.
func NewProver(dir string) *Prover { return &Prover{dir: dir} }

// Prove gives the proof of a record, by a checkpoint over it. It takes the
// stored hashes where these are good, and else reads the whole log.
func (p *Prover) Prove(seq uint64) (Proof, error) {
	proof, err := p.prove(seq)
	if err != nil {
		return Proof{}, fmt.Errorf("prove record %d of audit log %s: %w", seq, p.dir, err)
	}
	return proof, nil
}

func (p *Prover) prove(seq uint64) (proof Proof, err error) {
	if seq >= p.last.Size {
		if p.last, err = latest(p.dir); err != nil {
			return proof, err
		}
	}
	proof.Checkpoint = p.last
	size := p.last.Size
	if t, err := readTombstone(p.dir); err != nil || seq < t.Records {
		return proof, errors.Join(err, fmt.Errorf("it was retired at %s, with those before record %d", t.At.Format(time.RFC3339), t.Records))
	}
	if seq >= size {
		return proof, fmt.Errorf("the last checkpoint is of %d records: this one is not signed yet", size)
	}
	if proof.Payload, err = p.payload(seq); err != nil {
		return proof, err
	}
	err = withHashes(p.dir, size, func(h tlog.HashReader) (err error) {
		if proof.path, err = tlog.ProveRecord(int64(size), int64(seq), h); err != nil {
			return err
		}
		return tlog.CheckRecord(proof.path, int64(size), p.last.Root, int64(seq), tlog.RecordHash(proof.Payload))
	})
	if err != nil {
		return proof, fmt.Errorf("it is not under the checkpoint of %d records, which verify can say more of: %w", size, err)
	}
	return proof, json.Unmarshal(proof.Payload, &proof.Record)
}

// payload reads a record as it stands in the log.
func (p *Prover) payload(seq uint64) (payload []byte, err error) {
	err = readFrom(p.dir, seq, false, func(r *reader) error {
		if m, ok := p.before(seq); ok && m.segment == r.first {
			r.next, r.offset = m.seq, m.offset
		}
		for {
			p.mark(r)
			f, err := r.read()
			if err != nil {
				return err
			}
			if f.seq == seq {
				payload = bytes.Clone(f.payload)
				return nil
			}
		}
	})
	return payload, err
}

// find gives the place of the first mark behind a record.
func (p *Prover) find(seq uint64) int {
	i, found := slices.BinarySearchFunc(p.marks, seq, func(m mark, seq uint64) int { return cmp.Compare(m.seq, seq) })
	if found {
		i++
	}
	return i
}

// before gives the last mark that is not behind a record.
func (p *Prover) before(seq uint64) (mark, bool) {
	i := p.find(seq)
	if i == 0 {
		return mark{}, false
	}
	return p.marks[i-1], true
}

// mark remembers where the next record begins, where no mark is near before it.
func (p *Prover) mark(r *reader) {
	i := p.find(r.next)
	if i > 0 && r.next-p.marks[i-1].seq < recordsApart {
		return
	}
	p.marks = slices.Insert(p.marks, i, mark{r.first, r.next, r.offset})
}
