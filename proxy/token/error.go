package token

import "fmt"

// Reason is the kind of thing that is wrong with a token.
type Reason string

// The reasons.
const (
	Malformed     Reason = "malformed" // no token in compact form, or a header that is not understood
	Algorithm     Reason = "algorithm" // one that its issuer does not sign with
	UnknownIssuer Reason = "issuer"    // no issuer that may sign such tokens
	NoKey         Reason = "key"       // no key that could have signed it is known
	Forged        Reason = "signature" // signed by another key, or changed since
	Elsewhere     Reason = "audience"  // meant for somebody else
	Claim         Reason = "claim"     // one is missing, or not as it must be
	Early         Reason = "early"     // issued or valid only later
	Expired       Reason = "expired"
	Replayed      Reason = "replayed" // used by another session, or maybe
	Full          Reason = "full"     // no more tokens can be remembered by now
)

// Error is why a token is refused. Its text names what is wrong and repeats
// nothing of the token.
type Error struct {
	Reason  Reason
	message string
}

func (e *Error) Error() string { return e.message }

func refuse(r Reason, format string, args ...any) *Error {
	return &Error{r, fmt.Sprintf(format, args...)}
}
