package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"time"
)

// Raw is a record as it stands in the log. Its Payload is valid until the next
// one is asked for.
type Raw struct {
	Seq     uint64
	Kind    Kind
	Payload []byte
}

// Record parses the payload.
func (r Raw) Record() (Record, error) {
	var rec Record
	if err := json.Unmarshal(r.Payload, &rec); err != nil {
		return Record{}, fmt.Errorf("record %d: %w", r.Seq, err)
	}
	return rec, nil
}

// Time gives the record's time, without parsing the rest; zero where it has
// none.
func (r Raw) Time() time.Time {
	_, rest, _ := bytes.Cut(r.Payload, []byte(`,"time":"`))
	text, _, _ := bytes.Cut(rest, []byte(`"`))
	t, err := time.Parse(time.RFC3339Nano, string(text))
	if err != nil {
		return time.Time{}
	}
	return t
}

// Ref gives the record's Ref, without parsing the rest: a text in the payload
// cannot hold an unescaped quote, so the first such name is the field.
func (r Raw) Ref() uint64 {
	_, rest, _ := bytes.Cut(r.Payload, []byte(`,"ref":`))
	n := 0
	for n < len(rest) && rest[n] >= '0' && rest[n] <= '9' {
		n++
	}
	ref, err := strconv.ParseUint(string(rest[:n]), 10, 64)
	if err != nil {
		return 0
	}
	return ref
}

// ReadTo gives the records under a head, for whoever must be able to say later
// what was read: each is checked against the chain, and if what was read does
// not end in the head's hash, an error comes last.
func ReadTo(dir string, head Head) iter.Seq2[Raw, error] {
	return func(yield func(Raw, error) bool) {
		err := readFrom(dir, 0, true, func(r *reader) error { return r.to(head, yield) })
		if err != nil {
			yield(Raw{}, err)
		}
	}
}

// to yields the records under a head. A log that is empty ends in zeros.
func (r *reader) to(head Head, yield func(Raw, error) bool) error {
	for r.next < head.Count {
		f, err := r.read()
		if errors.Is(err, io.EOF) {
			return r.fault("the log ends here, and had %d records", head.Count)
		}
		if err != nil {
			return err
		}
		if !yield(Raw{f.seq, f.kind, f.payload}, nil) {
			return errStop
		}
	}
	if r.next == head.Count && r.before != head.Chain {
		return r.fault("the records before it do not end in the hash that the log's head had")
	}
	return nil
}
