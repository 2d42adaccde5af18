package audit

import "fmt"

// Fault says where a log is not as it was written: a record or a segment is
// changed, missing, added or out of its place.
type Fault struct {
	Segment string // name of the file
	Offset  int64  // in it
	Seq     uint64 // of the record that is expected there
	Problem string

	torn bool // the bytes make no frame: a crash could have left them
}

func (f *Fault) Error() string {
	return fmt.Sprintf("%s at byte %d, record %d: %s", f.Segment, f.Offset, f.Seq, f.Problem)
}
