package proxy

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/proxy/wire"
	"github.com/pgveil/pgveil/rewrite"
)

// Refusal is what a client is told in place of an answer.
type Refusal struct {
	rewrite.Refusal
	ID string // by which the access log finds it
}

// newID makes the identifier of a refusal or session: short enough to read out
// over the telephone, and not to be guessed.
func newID() string {
	var b [10]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic(fmt.Sprintf("proxy: no randomness: %v", err)) // crypto/rand documents that it never fails
	}
	return strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
}

// asRefusal is the only place where an error becomes something that a client
// is told. What is not a refusal is a fault of ours: the client learns that
// much and an identifier, the log the rest.
func (s *session) asRefusal(err error) *Refusal {
	id := newID()
	var r *rewrite.Refusal
	if errors.As(err, &r) {
		return &Refusal{Refusal: *r, ID: id}
	}
	if errors.Is(err, audit.ErrFull) {
		return &Refusal{ID: id, Refusal: rewrite.Refusal{Code: "53100", Message: "the access log is full: statements that it must hold are refused", Hint: "an operator must make room"}}
	}
	if errors.Is(err, audit.ErrFailed) {
		return &Refusal{ID: id, Refusal: rewrite.Refusal{Code: "58030", Message: "the access log cannot be written: statements that it must hold are refused", Hint: "an operator must look at it"}}
	}
	s.log.Error("internal error", "id", id, "err", err)
	return &Refusal{ID: id, Refusal: rewrite.Refusal{Code: "XX000", Message: "internal error in pgveil: the statement was not sent"}}
}

// fields gives the ErrorResponse of a refusal.
func (r *Refusal) fields(severity string) []wire.Field {
	hint := r.Hint
	if r.ID != "" {
		hint = strings.TrimSpace(strings.TrimSuffix(hint, ".") + " (pgveil " + r.ID + ")")
	}
	fields := []wire.Field{
		{Type: wire.FieldSeverity, Value: severity},
		{Type: wire.FieldSeverityUnlocalized, Value: severity},
		{Type: wire.FieldCode, Value: r.Code},
		{Type: wire.FieldMessage, Value: r.Message},
		{Type: wire.FieldHint, Value: hint},
	}
	if r.Rule != "" {
		fields = append(fields, wire.Field{Type: wire.FieldDetail, Value: "decided by " + r.Rule})
	}
	if r.Position > 0 {
		fields = append(fields, wire.Field{Type: wire.FieldPosition, Value: strconv.Itoa(r.Position)})
	}
	return fields
}

// poison is a text that no grammar accepts. It carries nothing but the
// identifier, so that the server's own log leads to ours.
func (r *Refusal) poison() []byte { return wire.CString("pgveil refused " + r.ID) }

// poisonName is a name that nothing in the session can have.
func (r *Refusal) poisonName() []byte { return wire.CString("pgveil refused " + r.ID) }

// redact takes out of an error or notice what can carry values of governed
// rows that the caller may not see. SQLSTATE and the names of constraints,
// tables and columns stay.
func redact(fields []wire.Field, writes bool) []wire.Field {
	var kept []wire.Field
	code := ""
	for _, f := range fields {
		switch f.Type {
		case wire.FieldDetail, wire.FieldWhere, wire.FieldHint, wire.FieldInternalQuery, wire.FieldInternalPosition, wire.FieldPosition:
			continue
		case wire.FieldCode:
			code = f.Value
		}
		kept = append(kept, f)
	}
	if !writes || !carriesValues(code) {
		return kept
	}
	for i := range kept {
		if kept[i].Type == wire.FieldMessage {
			kept[i].Value = "the statement failed on the server (SQLSTATE " + code + "); pgveil withholds the text, which could hold values"
		}
	}
	return kept
}

// carriesValues tells whether the message of an error of that SQLSTATE can
// quote a value of a row. When rows are written, expressions of the schema
// (triggers, checks, generated columns, indexes) see what the caller may not.
func carriesValues(code string) bool {
	switch {
	case strings.HasPrefix(code, "23"): // integrity constraints: the message names the constraint only
		return false
	case strings.HasPrefix(code, "42"), strings.HasPrefix(code, "25"), strings.HasPrefix(code, "40"),
		strings.HasPrefix(code, "53"), strings.HasPrefix(code, "57"), strings.HasPrefix(code, "55"):
		return false
	default:
		return true
	}
}

// withoutPosition drops the place in a text that is not the client's.
func withoutPosition(fields []wire.Field) []wire.Field {
	var kept []wire.Field
	for _, f := range fields {
		if f.Type != wire.FieldPosition {
			kept = append(kept, f)
		}
	}
	return kept
}
