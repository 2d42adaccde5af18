package audit

import (
	"fmt"
	"unicode/utf8"
)

// maxPayload bounds one record on disk. It leaves room below the 65,535 bytes
// that one entry may have in the tile layout of transparency logs.
const maxPayload = 60_000

const maxBody = maxPayload - maxHead

// appendFitting writes the body of a record, and trims what is too long. An
// entry is never refused for its size, so nobody can act unrecorded by sending
// much. A shape that cannot fit is not even escaped first: clients choose its
// length.
func appendFitting(b []byte, r *Record) []byte {
	if len(r.Shape) <= maxBody {
		if full := appendBody(b, r); len(full)-len(b) <= maxBody {
			return full
		}
	}
	return appendTrimmed(b, r)
}

// appendTrimmed cuts the shape and the lists, each with a mark that tells how
// much is gone.
func appendTrimmed(b []byte, r *Record) []byte {
	for budget := maxBody / 2; ; budget /= 2 {
		t := trimmed(r, budget)
		if body := appendBody(b, &t); len(body)-len(b) <= maxBody {
			return body
		}
	}
}

// trimmed cuts a record so that its shape takes at most budget bytes before
// escaping, its lists about as much each, and every other text a quarter.
func trimmed(r *Record, budget int) Record {
	t := *r
	t.Caller, t.Statement = "", ""
	for _, s := range []*string{&t.ID, &t.Session, &t.Login, &t.User, &t.Purpose, &t.Ticket, &t.Client, &t.App, &t.Database,
		&t.Generation, &t.Command, &t.Fingerprint, &t.Decision, &t.Tag, &t.SQLState, &t.Message, &t.Relation, &t.Key, &t.Event} {
		*s = cut(*s, budget/4)
	}
	t.Shape = cut(r.Shape, budget)
	if len(r.Sealed) > maxSealed || len(appendString(nil, r.Sealed)) > maxSealed+len(`""`) {
		t.Sealed = cut(r.Sealed, budget/4) // no Sealer made it; cut, what one made would be of no use
	}
	t.Roles = cutList(r.Roles, budget)
	t.Reasons = cutList(r.Reasons, budget)
	t.Kinds = cutKinds(r.Kinds, budget)
	t.Subjects = cutList(r.Subjects, budget)
	t.Unnamed = cutUnnamed(r.Unnamed, budget)
	t.Images, t.Missing = cutImages(r.Images, r.Missing, budget)
	t.Columns = cutColumns(r.Columns, budget)
	return t
}

func cut(s string, budget int) string {
	if len(s) <= budget {
		return s
	}
	for budget > 0 && !utf8.RuneStart(s[budget]) {
		budget--
	}
	return fmt.Sprintf("%s… (%d bytes more)", s[:budget], len(s)-budget)
}

func cutList(list []string, budget int) []string {
	for i, s := range list {
		if budget -= len(s) + len(`"",`); budget < 0 {
			return append(list[:i:i], fmt.Sprintf("… (%d more)", len(list)-i))
		}
	}
	return list
}

// cutKinds leaves AnyKind for those that are cut.
func cutKinds(kinds []string, budget int) []string {
	for i, s := range kinds {
		if budget -= len(s) + len(`"",`); budget < 0 {
			return append(kinds[:i:i], AnyKind)
		}
	}
	return kinds
}

// cutUnnamed leaves one entry for those that are cut: any number of subjects of
// any kind.
func cutUnnamed(unnamed []Unnamed, budget int) []Unnamed {
	for i, u := range unnamed {
		if budget -= len(u.Kind) + len(`{"kind":"","at_most":-9223372036854775808},`); budget < 0 {
			return append(unnamed[:i:i], Unnamed{AnyKind, AnyNumber})
		}
	}
	return unnamed
}

// cutImages counts those that are cut as missing.
func cutImages(images []Image, missing int64, budget int) ([]Image, int64) {
	for i, image := range images {
		if budget -= len(image.Before) + len(image.After) + len(`{"before":"","after":"","doubt":true,"cut":true},`); budget < 0 {
			if missing >= 0 {
				missing += int64(len(images) - i)
			}
			return images[:i:i], missing
		}
	}
	return images, missing
}

func cutColumns(columns []Column, budget int) []Column {
	for i, c := range columns {
		size := len(c.Name) + len(c.Class) + len(c.Show) + len(c.Use) + len(`{"name":"","class":"","show":"","use":""},`)
		if budget -= size; budget < 0 {
			return append(columns[:i:i], Column{Name: fmt.Sprintf("… (%d more)", len(columns)-i)})
		}
	}
	return columns
}
