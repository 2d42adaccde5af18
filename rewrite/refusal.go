package rewrite

import (
	"errors"
	"fmt"

	"github.com/pgveil/pgveil/rewrite/parse"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// SQLSTATEs of refusals, from PostgreSQL's Appendix A.
const (
	codePrivilege    = "42501" // insufficient_privilege
	codeUnsupported  = "0A000" // feature_not_supported
	codeSyntax       = "42601" // syntax_error
	codeInvalidValue = "22023" // invalid_parameter_value
)

// Refusal is a statement that the policy, or pgveil's understanding, does not
// let through. It is what the client is told, so it never holds a value.
type Refusal struct {
	Code     string // SQLSTATE
	Message  string
	Hint     string // a way out; may be empty
	Rule     string // where the deciding rule stands; may be empty
	Position int    // in characters from 1; 0 when unknown
	// Unknown is the name of a relation, function or type that the catalog
	// does not have: worth a look at a fresh catalog before refusing.
	Unknown string
	// Plan is what is known of the refused text. Its SQL must not be sent.
	Plan *Plan
}

func (r *Refusal) Error() string { return r.Message }

func refuse(hint, format string, args ...any) *Refusal {
	return &Refusal{Code: codePrivilege, Message: fmt.Sprintf(format, args...), Hint: hint}
}

func refuseUnsupported(hint, format string, args ...any) *Refusal {
	return &Refusal{Code: codeUnsupported, Message: fmt.Sprintf(format, args...), Hint: hint}
}

// asRefusal turns what the lower packages say of a statement into a Refusal.
// Any other error is a bug and stays one.
func asRefusal(err error, text string) error {
	var syntax *parse.SyntaxError
	var name *resolve.Error
	var what *resolve.Unsupported
	switch {
	case errors.As(err, &syntax):
		return &Refusal{Code: codeSyntax, Message: syntax.Message, Position: syntax.Position, Hint: "pgveil reads the grammar of PostgreSQL 17; what only newer servers know is open to roles with unrestricted access"}
	case errors.As(err, &name):
		return &Refusal{Code: name.Code, Message: name.Message, Position: character(text, name.Pos), Unknown: name.Name}
	case errors.As(err, &what):
		return refuseUnsupported("ask for a role with unrestricted access, or say it another way", "%s", what.Error())
	default:
		return err
	}
}

// character turns a byte offset into PostgreSQL's count of characters from 1.
func character(text string, offset int32) int {
	if offset < 0 || int(offset) > len(text) {
		return 0
	}
	return len([]rune(text[:offset])) + 1
}
