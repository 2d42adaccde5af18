package ship

import (
	"github.com/pgveil/pgveil/audit"
)

// contextBytes is about how much of statements that have not ended is kept, for
// each chain of each sink. Of others the record is read again.
const contextBytes = 16 << 20

// statements remembers those that have not ended, so that what comes later of
// one is sent with who did it. The zero statements are empty.
type statements struct {
	open  map[uint64]*audit.Record
	order []uint64 // as they came; some have ended
	size  int
}

func sizeOf(r *audit.Record) int {
	return 512 + len(r.Shape) + 96*len(r.Columns) + textSize(r.Reasons) + textSize(r.Roles) + len(r.App)
}

// add remembers a statement, and forgets the oldest where that is too much.
func (s *statements) add(r *audit.Record) {
	if s.open == nil {
		s.open = map[uint64]*audit.Record{}
	}
	s.open[r.Seq] = r
	s.order = append(s.order, r.Seq)
	s.size += sizeOf(r)
	for len(s.order) > 0 && (s.size > contextBytes || s.open[s.order[0]] == nil) {
		s.drop(s.order[0])
		s.order = s.order[1:]
	}
}

func (s *statements) drop(seq uint64) {
	if r := s.open[seq]; r != nil {
		s.size -= sizeOf(r)
		delete(s.open, seq)
	}
}

// of gives the statement that a record is of: from memory, or from the log. It
// is nil where the log does not have it any more.
func (s *statements) of(dir string, r *audit.Record) (*audit.Record, error) {
	if !r.Kind.Part() {
		return nil, nil
	}
	made := s.open[r.Ref]
	if r.Kind == audit.KindOutcome {
		s.drop(r.Ref)
	}
	if made != nil {
		return made, nil
	}
	found, err := at(dir, r.Ref)
	if err != nil || found == nil || found.Kind != audit.KindStatement {
		return nil, err
	}
	if r.Kind != audit.KindOutcome {
		s.add(found)
	}
	return found, nil
}

// at reads one record of a log. It is nil where the log has it no more, or not
// yet.
func at(dir string, seq uint64) (*audit.Record, error) {
	for r, err := range audit.Read(dir, seq) {
		if err != nil || r.Seq != seq {
			return nil, err
		}
		r.Sealed = ""
		return &r, nil
	}
	return nil, nil
}
