package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
)

// Users are verifiers of pgveil's own, by login. The zero Users lets nobody in.
type Users map[string]Verifier

// maxName is NAMEDATALEN less its zero: no role has a longer name.
const maxName = 63

// blank is what may stand around words. Other white space can be part of a name.
const blank = " \t\r\n"

// ParseUsers reads a users file: on each line a name and its verifier,
//
//	alice SCRAM-SHA-256$4096:<salt>$<stored key>:<server key>
//
// both of which may stand in double quotes, as in PgBouncer's auth_file; within
// them two quotes are one. Lines that begin with # or ; say nothing. Anything
// else is an error, which tells the line and quotes nothing of it: a password
// may have been put there by mistake.
func ParseUsers(text string) (Users, error) {
	users := Users{}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.Trim(line, blank)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if err := users.add(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	return users, nil
}

func (u Users) add(line string) error {
	name, rest, err := cutWord(line)
	if err != nil {
		return fmt.Errorf("name: %w", err)
	}
	word, rest, err := cutWord(rest)
	switch {
	case err != nil:
		return fmt.Errorf("verifier: %w", err)
	case rest != "":
		return errors.New("something stands behind the verifier")
	case len(name) > maxName || strings.Contains(name, "\x00"):
		return errors.New("no role can have the name")
	}
	if _, twice := u[name]; twice {
		return errors.New("the name is there before")
	}
	v, err := ParseVerifier(word)
	if err != nil {
		return err
	}
	v.Own = true
	u[name] = v
	return nil
}

// cutWord takes the first word, quoted or not, off a line.
func cutWord(line string) (word, rest string, err error) {
	line = strings.TrimLeft(line, " \t")
	if !strings.HasPrefix(line, `"`) {
		end := strings.IndexAny(line+" ", " \t")
		word, rest = line[:end], line[end:]
		if word == "" || strings.Contains(word, `"`) {
			return "", "", errors.New("is missing, or holds a quote and is not quoted")
		}
		return word, strings.Trim(rest, blank), nil
	}
	for rest = line[1:]; ; {
		part, after, ended := strings.Cut(rest, `"`)
		word += part
		switch {
		case !ended:
			return "", "", errors.New("a quote is not closed")
		case strings.HasPrefix(after, `"`):
			word, rest = word+`"`, after[1:]
		case after != "" && after[0] != ' ' && after[0] != '\t':
			return "", "", errors.New("something stands behind the quote")
		case word == "":
			return "", "", errors.New("is empty")
		default:
			return word, strings.Trim(after, blank), nil
		}
	}
}

// Lookup is a [Lookup].
func (u Users) Lookup(_ context.Context, user string) (Verifier, error) {
	if v, ok := u[user]; ok {
		return v, nil
	}
	return Verifier{}, fmt.Errorf("%w: not in the users file", ErrNoVerifier)
}

// Else looks up in next whoever first does not know.
func (first Lookup) Else(next Lookup) Lookup {
	return func(ctx context.Context, user string) (Verifier, error) {
		v, err := first(ctx, user)
		if errors.Is(err, ErrNoVerifier) {
			return next(ctx, user)
		}
		return v, err
	}
}

// saltLen is that of PostgreSQL's own verifiers.
const saltLen = 16

// UserLine makes a line of a users file. The verifier in it is also one that
// PostgreSQL takes as the password of a role.
func UserLine(name, password string, iterations int) (string, error) {
	switch {
	case name == "" || len(name) > maxName || strings.ContainsAny(name, "\x00\r\n"):
		return "", errors.New("no login can have the name")
	case password == "":
		return "", errors.New("the password is empty: nobody gets in with it")
	case iterations < mockIterations || iterations > maxIterations:
		return "", fmt.Errorf("iterations are from %d to %d", mockIterations, maxIterations)
	}
	salt := make([]byte, saltLen)
	rand.Read(salt) // never fails
	keys, err := deriveKeys(password, salt, iterations)
	if err != nil {
		return "", err
	}
	if strings.ContainsAny(name, " \t\"") || strings.ContainsAny(name[:1], "#;") {
		name = `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
	}
	return name + " " + keys.Verifier.text(), nil
}

// text gives the form that ParseVerifier reads.
func (v Verifier) text() string {
	return fmt.Sprintf("%s$%d:%s$%s:%s", scramName, v.Iterations, encodeBase64(v.Salt), encodeBase64(v.StoredKey), encodeBase64(v.ServerKey))
}
