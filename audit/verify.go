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

// Report is what Verify found in the part of a log that is good.
type Report struct {
	Head       Head
	Segments   int
	Bytes      int64 // read and checked
	Unfinished int64 // bytes of a record, behind the last, that a crash cut short or that is being written now
}

// Verify reads a whole log and checks every record: that it is as it was
// written, none is missing between, none added or moved. It also checks the
// log against any heads that somebody remembered. The error is a *Fault when
// the log is not as it was written, and the report then covers what stands
// before the fault.
//
// It needs only the files, and may run beside the writer; it then checks what
// was there when it came to the end.
func Verify(dir string, remembered ...Head) (Report, error) {
	var rep Report
	err := readFrom(dir, 0, true, func(r *reader) error {
		err := r.verify(remembered)
		rep = Report{Head: r.head(), Segments: r.segments, Bytes: r.bytes + r.offset, Unfinished: r.unfinished}
		return err
	})
	return rep, err
}

func (r *reader) head() Head { return Head{Count: r.next, Chain: r.before} }

func (r *reader) verify(remembered []Head) error {
	for {
		for _, h := range remembered {
			if h.Count == r.next && h != r.head() {
				return r.fault("the head is %s here; remembered is %s: records before it are not the same", r.head(), h)
			}
		}
		if _, err := r.read(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
	}
	for _, h := range remembered {
		if h.Count > r.next {
			return r.fault("the log ends here; remembered are %d records: %d are cut off", h.Count, h.Count-r.next)
		}
	}
	return nil
}
