package auth

import "strings"

// SplitCode takes a one-time code of so many digits off the end of a password,
// for clients that can send nothing but a password. ok tells whether there is
// one, with a password before it: whoever must give a code and gives none has
// not proved who they are, but should not hear that sooner than those whose
// password is wrong.
func SplitCode(password string, digits int) (rest, code string, ok bool) {
	at := len(password) - digits
	if digits <= 0 || at <= 0 || strings.Trim(password[at:], "0123456789") != "" {
		return password, "", false
	}
	return password[:at], password[at:], true
}
