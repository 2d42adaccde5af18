package privacy

import (
	"fmt"
	"strings"

	"github.com/pgveil/pgveil/policy"
)

// Code says why a command got no answer, as an SQLSTATE.
type Code string

// The codes of an Error.
const (
	Syntax        Code = "42601" // the command is not written as it must be
	NoSubject     Code = "42704" // the policy has no such kind of subject
	NoColumn      Code = "42703" // subjects of this kind are not looked up by that column
	BadKey        Code = "22P02" // the key is not of the column's type
	NotFound      Code = "P0002" // nobody, or nothing, has that key
	Ambiguous     Code = "P0003" // several have it
	NotAllowed    Code = "42501" // the policy does not let the caller do it
	SchemaChanged Code = "55000" // the database is not as the catalog describes it
	NotAvailable  Code = "0A000" // pgveil cannot do it yet, or not here
)

// Error is a command that gets no answer because of what it asks or of what
// the policy says. It holds no value that the command or a row contains.
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

// Fail makes an error.
func Fail(code Code, hint, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Hint: hint}
}

// DidYouMean gives a hint with the known word nearest to word, or with all of
// them when none is near.
func DidYouMean(word string, known []string) string {
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
