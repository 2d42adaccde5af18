package proxy

import (
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/proxy/wire"
	"github.com/pgveil/pgveil/recognise"
	"github.com/pgveil/pgveil/rewrite"
)

// Sieve is sieve, and what it does to the data of a COPY.
type Sieve struct {
	sieve
	data copyOut
}

// NewSieve makes a sieve of what a scan asks for.
func NewSieve(scan policy.Scan, binary bool) *Sieve {
	return &Sieve{sieve{scan: scan, with: recognise.New(scan.Find())}, copyOut{binary: binary}}
}

// Row looks into a row, and writes over it.
func (s *Sieve) Row(frame []byte, types []uint32) (refused bool, err error) {
	return s.row(frame, types)
}

// Copy looks into a message of COPY. It gives what may leave.
func (s *Sieve) Copy(data []byte) (whole []byte, refused bool, err error) {
	return s.data.take(&s.sieve, data)
}

// Rest gives what is held when the data ends.
func (s *Sieve) Rest() (rest []byte, refused bool) { return s.data.rest(&s.sieve) }

// Found gives how much was found.
func (s *Sieve) Found() int64 { return s.sum() }

// Lengths gives the lengths of a row's values; nil for what is no row.
func Lengths(frame []byte) (all []int) {
	b := wire.BodyOf(frame)
	for range b.Int16() {
		size := b.Int32()
		if all = append(all, size); size > 0 {
			b.Bytes(size)
		}
	}
	if b.Err() != nil {
		return nil
	}
	return all
}

// ScanOf gives what is looked for in what a plan reads.
func ScanOf(a *policy.Access, p *rewrite.Plan) (policy.Scan, []string) {
	return scanOf(a, p, policy.Scan{}, nil)
}
