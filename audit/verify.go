package audit

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Head is a log's length and the chain hash there. Whoever remembers one,
// somewhere else, can prove later that the log still begins with the same
// records and has lost none: a cut tail cannot be found without.
type Head struct {
	Count uint64
	Chain [32]byte
}

// String writes a head as it is remembered: "count:hash".
func (h Head) String() string { return fmt.Sprintf("%d:%x", h.Count, h.Chain) }

// ParseHead reads what String wrote.
func ParseHead(s string) (Head, error) {
	count, digest, _ := strings.Cut(s, ":")
	n, err := strconv.ParseUint(count, 10, 64)
	b, herr := hex.DecodeString(digest)
	if err != nil || herr != nil || len(b) != len(hash{}) {
		return Head{}, fmt.Errorf("parse head %q: it has the form count:hash, with a hash of 64 hexadecimal digits", s)
	}
	return Head{n, hash(b)}, nil
}

// ReadHead gives the head of the log in dir as its last segment tells it.
// Whether the log is good, Verify finds out.
func ReadHead(dir string) (Head, error) {
	var h Head
	err := readFrom(dir, ^uint64(0), false, func(r *reader) (err error) {
		for err == nil {
			_, err = r.read()
		}
		h = r.head()
		return eofIsEnd(err)
	})
	return h, err
}

func eofIsEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// Check is what a log is held to, beside itself. The zero Check holds it to
// nothing: an editor who computes the chain anew, or cuts the end, then passes.
type Check struct {
	Heads []Head       // remembered elsewhere
	Keys  []PublicKey  // who may sign checkpoints; none: these are not looked at
	Kept  []Checkpoint // remembered elsewhere; each must be signed, so it takes Keys
	// Progress, when not nil, is told now and then how far it has come.
	Progress func(records uint64, bytes int64)
}

// Report is what Verify found in the part of a log that is good.
type Report struct {
	Head       Head
	Segments   int
	Bytes      int64 // read and checked
	Unfinished int64 // bytes of a record, behind the last, that a crash cut short or that is being written now

	Signed      uint64 // records under the last checkpoint by one of Check.Keys; those behind it have no signature yet
	Checkpoints int    // so signed
	Unknown     int    // before those: checkpoints that fit, by other keys
	Signer      PublicKey
	Retired     Tombstone // of records that are gone and were not read; whether it is by one of Check.Keys is checked where there are some
	BadHashes   bool      // the stored hashes of the tree are not those of the records; Prove does without
}

// Verify is Check.Verify with heads alone.
func Verify(dir string, remembered ...Head) (Report, error) {
	return Check{Heads: remembered}.Verify(dir)
}

// Verify reads a whole log and checks every record: that it is as it was
// written, none is missing between, none added or moved. It also holds the log
// to what the Check knows of it. The error is a *Fault when the log is not as
// it was written, and the report then covers what stands before the fault.
//
// It needs only the files, and may run beside the writer; it then checks what
// was there when it came to the end.
func (c Check) Verify(dir string) (Report, error) {
	var rep Report
	err := readFrom(dir, 0, true, func(r *reader) error {
		signed, err := c.openSigned(dir, r.retired)
		if err != nil {
			return err
		}
		defer signed.close()
		if err := c.checkRetiredHeads(r.retired); err != nil {
			return err
		}
		err = c.walk(r, signed)
		rep = Report{Retired: r.retired, Head: r.head(), Segments: r.segments, Bytes: r.bytes + r.offset, Unfinished: r.unfinished}
		signed.report(&rep)
		return err
	})
	return rep, err
}

func (r *reader) head() Head { return Head{Count: r.next, Chain: r.before} }

// tellEvery is how many records lie between two calls of Progress.
const tellEvery = 1 << 14

// walk reads the log to its end.
func (c Check) walk(r *reader, signed *signedCheck) error {
	for {
		if err := c.checkHeads(r); err != nil {
			return err
		}
		if err := signed.at(r); err != nil {
			return err
		}
		f, err := r.read()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		if err := signed.add(f, place{r.name, f.offset, f.seq}); err != nil {
			return err
		}
		if c.Progress != nil && r.next%tellEvery == 0 {
			c.Progress(r.next, r.bytes+r.offset)
		}
	}
	for _, h := range c.Heads {
		if h.Count > r.next {
			return r.fault("the log ends here; remembered are %d records: %d are cut off", h.Count, h.Count-r.next)
		}
	}
	return signed.end(r)
}

// checkRetiredHeads refuses heads that cannot be compared with anything.
func (c Check) checkRetiredHeads(t Tombstone) error {
	for _, h := range c.Heads {
		if h.Count < t.Records {
			return fmt.Errorf("remembered are %d records, and the %d before record %d were retired: leave this head out, or check a copy that has them",
				h.Count, t.Records, t.Records)
		}
	}
	return nil
}

func (c Check) checkHeads(r *reader) error {
	for _, h := range c.Heads {
		if h.Count == r.next && h != r.head() {
			return r.fault("the head is %s here; remembered is %s: records before it are not the same", r.head(), h)
		}
	}
	return nil
}
