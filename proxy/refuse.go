package proxy

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"slices"
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
// tables and columns stay, unless a function of the schema's own made the
// error: it may have put a value into any field.
func redact(fields []wire.Field, writes bool) []wire.Field {
	code, raised := fieldOf(fields, wire.FieldCode), inFunction(fieldOf(fields, wire.FieldWhere))
	var kept []wire.Field
	for _, f := range fields {
		switch f.Type {
		case wire.FieldDetail, wire.FieldWhere, wire.FieldHint, wire.FieldInternalQuery, wire.FieldInternalPosition, wire.FieldPosition:
			continue
		case wire.FieldSchema, wire.FieldTable, wire.FieldColumn, wire.FieldDatatype, wire.FieldConstraint:
			if raised {
				continue
			}
		case wire.FieldCode:
			if raised && !slices.Contains(raisedCodes, code) {
				f.Value = "P0001"
			}
		case wire.FieldMessage:
			if raised || writes && carriesValues(code) {
				f.Value = "the statement failed on the server; pgveil withholds the text, which could hold values"
			}
		}
		kept = append(kept, f)
	}
	return kept
}

// inFunction tells by an error's context whether it came out of a function: what
// is not just a line of COPY.
func inFunction(context string) bool {
	return context != "" && (!strings.HasPrefix(context, "COPY ") || strings.Contains(context, "\n"))
}

// raisedCodes are the SQLSTATEs that a function of the schema may raise and
// clients may learn: those that mean something to an application. Any other
// could be a value in disguise.
var raisedCodes = []string{
	"P0001", "P0002", "P0003", "P0004", // PL/pgSQL's own
	"23000", "23001", "23502", "23503", "23505", "23514", "23P01", // integrity constraints
	"42501", "55000", "40001", "40P01", "55P03", "57014", // privilege, state, conflicts, cancellation
	"22000", "22P02", "22003", "22012", "22023", // data
}

// carriesValues tells whether the server's own message of an error of that
// SQLSTATE can quote a value of a row. When rows are written, expressions of
// the schema (checks, generated columns, indexes) see what the caller may not. Where
// limits count what a caller gets, a value in an error would be one that nobody counts.
func carriesValues(code string) bool {
	if len(code) < 2 {
		return true
	}
	switch code[:2] {
	case "23", "25", "40", "42", "53", "55", "57": // the message names things of the schema only
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
