package dsar

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/policy"
)

// Code says why a request got no answer, as an SQLSTATE.
type Code string

// The codes of an Error.
const (
	Syntax        Code = "42601" // the command is not written as it must be
	NoSubject     Code = "42704" // the policy has no such kind of subject
	NoColumn      Code = "42703" // subjects of this kind are not looked up by that column
	BadKey        Code = "22P02" // the key is not of the column's type
	NotFound      Code = "P0002" // nobody has that key
	Ambiguous     Code = "P0003" // several have it
	Unclassified  Code = "42501" // some columns in reach have no class
	SchemaChanged Code = "55000" // the database is not as the catalog describes it
	NotAvailable  Code = "0A000" // pgveil cannot do it yet
)

// Error is a request that gets no answer because of what it asks or of what
// the policy says. It holds no value that the request or a row contains.
type Error struct {
	Code     Code
	Message  string
	Hint     string
	Position int // of syntax errors: the byte of the command, counted from 1; else 0
}

func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + "; " + e.Hint
}

// SQLState gives the code, by the method that pgconn.PgError has as well.
func (e *Error) SQLState() string { return string(e.Code) }

func fail(code Code, hint, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Hint: hint}
}

// withoutValues takes the text off the server's errors about data, which
// quotes the value that does not fit.
func withoutValues(err error) error {
	var e *pgconn.PgError
	if !errors.As(err, &e) || !aboutData(e) {
		return err
	}
	return fmt.Errorf("the server answered SQLSTATE %s", e.Code)
}

func aboutData(e *pgconn.PgError) bool {
	return strings.HasPrefix(e.Code, "22") || strings.HasPrefix(e.Code, "23")
}

// didYouMean gives a hint with the known word nearest to word, or with all of
// them when none is near.
func didYouMean(word string, known []string) string {
	best, least := "", 2+len(word)/4
	for _, k := range known {
		if len(word) > 64 {
			break
		}
		if d := policy.EditDistance(strings.ToLower(word), strings.ToLower(k)); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return "expected one of: " + strings.Join(known, ", ")
	}
	return fmt.Sprintf("did you mean %s?", best)
}
