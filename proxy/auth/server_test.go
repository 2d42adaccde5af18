package auth

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	testKey     = bytes.Repeat([]byte{7}, 32)
	testBinding = ChannelBinding("hash of a certificate, 32 bytes.")
	testNonce   = "rOprNGfwEbeRWgbNEkqO"
)

// pencil is the verifier of RFC 7677's example.
func pencil(t testing.TB) *scramKeys {
	t.Helper()
	salt, err := decodeBase64("W22ZaJ0SNY7soEsUEjb6gQ==")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := deriveKeys("pencil", salt, 4096)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// only is a Lookup that knows one user.
func only(user string, v Verifier) Lookup {
	return func(_ context.Context, name string) (Verifier, error) {
		if name != user {
			return Verifier{}, ErrNoVerifier
		}
		return v, nil
	}
}

// TestRFC7677 follows the example of RFC 7677, section 3.
func TestRFC7677(t *testing.T) {
	const transcript = "n=user,r=rOprNGfwEbeRWgbNEkqO," +
		"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096," +
		"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
	keys := pencil(t)
	proof := keys.proof(transcript)
	if got, want := encodeBase64(proof), "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="; got != want {
		t.Errorf("proof = %s, want %s", got, want)
	}
	if got, want := encodeBase64(sign(keys.ServerKey, transcript)), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="; got != want {
		t.Errorf("signature = %s, want %s", got, want)
	}
	key, ok := keys.check(proof, transcript)
	if !ok || !bytes.Equal(key, keys.clientKey) {
		t.Errorf("check(proof) = another key, %v, want the client key, true", ok)
	}
}

// initial is a SASLInitialResponse.
func initial(mechanism, data string) string {
	return mechanism + "\x00" + string(binary.BigEndian.AppendUint32(nil, uint32(len(data)))) + data
}

// prover is a step that answers a challenge rightly, and then lets edit spoil it.
func prover(keys *scramKeys, header, bare string, edit func(string) string) func(message) message {
	return func(last message) message {
		challenge := last.body[4:]
		nonce, _, _ := strings.Cut(strings.TrimPrefix(challenge, "r="), ",")
		final := "c=" + encodeBase64([]byte(header)) + ",r=" + nonce
		proof := keys.proof(bare + "," + challenge + "," + final)
		return message{msgPassword, edit(final + ",p=" + encodeBase64(proof))}
	}
}

func unchanged(s string) string { return s }

func TestSCRAMMechanisms(t *testing.T) {
	keys := pencil(t)
	bare := "n=ignored,r=" + testNonce
	plus := bindingFlag + ",,"
	for _, tt := range []struct {
		name    string
		binding ChannelBinding
		mech    string
		header  string
		bound   string
		want    string // SQLSTATE, "" for success
	}{
		{"plain", nil, scramName, "n,,", "n,,", ""},
		{"plain, client could bind", nil, scramName, "y,,", "y,,", ""},
		{"plain although PLUS is offered", testBinding, scramName, "n,,", "n,,", ""},
		{"PLUS", testBinding, plusName, plus, plus + string(testBinding), ""},
		{"the offer of PLUS got lost", testBinding, scramName, "y,,", "y,,", codeRefused},
		{"PLUS bound to another certificate", testBinding, plusName, plus, plus + strings.Repeat("x", 32), codeRefused},
		{"PLUS bound to nothing", testBinding, plusName, plus, plus, codeRefused},
		{"PLUS not offered", nil, plusName, plus, plus, codeViolation},
		{"PLUS without a binding type", testBinding, plusName, "n,,", "n,,", codeViolation},
		{"PLUS by another binding type", testBinding, plusName, "p=tls-unique,,", "p=tls-unique,,", codeViolation},
		{"plain with a binding type", testBinding, scramName, plus, plus + string(testBinding), codeViolation},
		{"header changed afterwards", nil, scramName, "n,,", "y,,", codeRefused},
		{"authorization identity", nil, scramName, "n,a=root,", "n,a=root,", codeRefused},
		{"other flag", nil, scramName, "x,,", "x,,", codeViolation},
		{"no flag", nil, scramName, ",,", ",,", codeViolation},
		{"other mechanism", nil, "SCRAM-SHA-1", "n,,", "n,,", codeViolation},
		{"no mechanism", nil, "", "n,,", "n,,", codeViolation},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &tape{script: []func(message) message{
				says(msgPassword, initial(tt.mech, tt.header+bare)),
				prover(keys, tt.bound, bare, unchanged),
			}}
			s, err := SCRAM(t.Context(), c, "user", only("user", keys.Verifier), tt.binding, testKey)
			checkCode(t, err, tt.want)
			if got := s.scram != nil && bytes.Equal(s.scram.clientKey, keys.clientKey); got != (tt.want == "") {
				t.Errorf("SCRAM gave the client key: %v", got)
			}
		})
	}
}

func checkCode(t *testing.T, err error, want string) {
	t.Helper()
	var refused *LoginError
	switch {
	case err == nil && want == "":
	case errors.As(err, &refused) && refused.Code == want:
	default:
		t.Errorf("error %v, want SQLSTATE %q", err, want)
	}
}

// TestHostileClient sends, in place of one right message, one that is not.
func TestHostileClient(t *testing.T) {
	keys := pencil(t)
	bare := "n=,r=" + testNonce
	good := initial(scramName, "n,,"+bare)
	withLength := func(n uint32) string {
		return scramName + "\x00" + string(binary.BigEndian.AppendUint32(nil, n)) + "n,," + bare
	}
	replace := func(old, new string) func(string) string {
		return func(s string) string { return strings.Replace(s, old, new, 1) }
	}
	for _, tt := range []struct {
		name  string
		first string
		edit  func(string) string
		want  string
	}{
		{"length -1", withLength(0xffffffff), unchanged, codeViolation},
		{"length -1 and no data", scramName + "\x00\xff\xff\xff\xff", unchanged, codeViolation},
		{"length 0x7fffffff", withLength(0x7fffffff), unchanged, codeViolation},
		{"length 0x80000000", withLength(0x80000000), unchanged, codeViolation},
		{"length beyond the body", withLength(uint32(len(bare) + 4)), unchanged, codeViolation},
		{"length short of the body", withLength(uint32(len(bare) + 2)), unchanged, codeViolation},
		{"length cut off", scramName + "\x00\x00\x00", unchanged, codeViolation},
		{"mechanism without end", scramName, unchanged, codeViolation},
		{"empty", "", unchanged, codeViolation},
		{"no data", initial(scramName, ""), unchanged, codeViolation},
		{"no name", initial(scramName, "n,,r="+testNonce), unchanged, codeViolation},
		{"no nonce", initial(scramName, "n,,n="), unchanged, codeViolation},
		{"empty nonce", initial(scramName, "n,,n=,r="), unchanged, codeViolation},
		{"nonce with a control character", initial(scramName, "n,,n=,r=a\x01"), unchanged, codeViolation},
		{"nonce beyond ASCII", initial(scramName, "n,,n=,r=é"), unchanged, codeViolation},
		{"two nonces", initial(scramName, "n,,n=,r=a,r=b"), unchanged, codeViolation},
		{"two names", initial(scramName, "n,,n=,n=,r=a"), unchanged, codeViolation},
		{"mandatory extension", initial(scramName, "n,,m=x,n=,r=a"), unchanged, codeViolation},
		{"nothing wrong", good, unchanged, ""},
		{"no proof", good, func(s string) string { s, _, _ = strings.Cut(s, ",p="); return s }, codeViolation},
		{"empty proof", good, func(s string) string { s, _, _ = strings.Cut(s, ",p="); return s + ",p=" }, codeViolation},
		{"short proof", good, func(s string) string { s, _, _ = strings.Cut(s, ",p="); return s + ",p=AAAA" }, codeViolation},
		{"proof with a line break", good, func(s string) string { return s + "\n" }, codeViolation},
		{"proof that is not base64", good, replace(",p=", ",p=!"), codeViolation},
		{"two proofs", good, replace(",p=", ",p=AAAA,p="), codeViolation},
		{"binding left out", good, replace("c=biws,", ""), codeViolation},
		{"binding spelled otherwise", good, replace("biws", "biwt"), codeRefused},
		{"server's nonce left out", good, func(s string) string { return "c=biws,r=" + testNonce + s[strings.Index(s, ",p="):] }, codeViolation},
		{"nonce changed", good, replace(testNonce, strings.ToUpper(testNonce)), codeViolation},
		{"proof of nothing", good, func(s string) string {
			s, _, _ = strings.Cut(s, ",p=")
			return s + ",p=" + encodeBase64(make([]byte, 32))
		}, codePassword},
		{"empty final message", good, func(string) string { return "" }, codeViolation},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &tape{script: []func(message) message{says(msgPassword, tt.first), prover(keys, "n,,", bare, tt.edit)}}
			s, err := SCRAM(t.Context(), c, "user", only("user", keys.Verifier), nil, testKey)
			checkCode(t, err, tt.want)
			if s.IsZero() == (tt.want == "") {
				t.Errorf("SCRAM gave a secret: %v", !s.IsZero())
			}
		})
	}
}

func TestSCRAMStopsAtTheConn(t *testing.T) {
	keys := pencil(t)
	outage := errors.New("no route to host")
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(context.DeadlineExceeded)
	first := says(msgPassword, initial(scramName, "n,,n=,r=a"))
	for _, tt := range []struct {
		name   string
		ctx    context.Context
		key    []byte
		lookup Lookup
		script []func(message) message
		want   error
	}{
		{"client hangs up", t.Context(), testKey, only("user", keys.Verifier), nil, io.EOF},
		{"1 MiB nonce", t.Context(), testKey, only("user", keys.Verifier),
			[]func(message) message{says(msgPassword, initial(scramName, "n,,n=,r="+strings.Repeat("a", 1<<20)))}, errTooLong},
		{"time is over", ended, testKey, only("user", keys.Verifier), []func(message) message{first}, context.DeadlineExceeded},
		{"verifiers out of reach", t.Context(), testKey,
			func(context.Context, string) (Verifier, error) { return Verifier{}, outage }, []func(message) message{first}, outage},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := SCRAM(tt.ctx, &tape{script: tt.script}, "user", tt.lookup, nil, tt.key)
			if !errors.Is(err, tt.want) || !s.IsZero() {
				t.Errorf("SCRAM = %v, %v, want nothing, %v", s, err, tt.want)
			}
		})
	}
	if _, err := SCRAM(t.Context(), &tape{}, "user", only("user", keys.Verifier), nil, nil); err == nil {
		t.Error("SCRAM without a key for mock salts = nil, want an error")
	}
}

// TestUnknownUserLooksWrong compares all that a client can see of a login with a
// wrong password and of one as a user that does not exist.
func TestUnknownUserLooksWrong(t *testing.T) {
	keys := pencil(t)
	bare := "n=,r=" + testNonce
	attempt := func(user string, lookup Lookup, mockKey []byte) ([]message, error) {
		c := &tape{script: []func(message) message{
			says(msgPassword, initial(scramName, "n,,"+bare)),
			prover(keys, "n,,", bare, func(s string) string {
				s, _, _ = strings.Cut(s, ",p=")
				return s + ",p=" + encodeBase64(make([]byte, 32))
			}),
		}}
		_, err := SCRAM(t.Context(), c, user, lookup, nil, mockKey)
		return c.sent, err
	}
	shape := func(sent []message, err error) string {
		var refused *LoginError
		if !errors.As(err, &refused) {
			t.Fatalf("SCRAM = %v, want a *LoginError", err)
		}
		var b strings.Builder
		for _, m := range sent {
			fmt.Fprintf(&b, "%c %d\n", m.typ, len(m.body))
		}
		return b.String() + refused.Code + " " + refused.Message
	}
	if _, err := attempt("alice", only("nobody", Verifier{}), testKey); !errors.Is(err, ErrNoVerifier) {
		t.Errorf("SCRAM of an unknown user = %v, want the reason for the log", err)
	}
	salt := func(sent []message, _ error) string { return strings.Split(sent[1].body, ",")[1] }

	known := only("alice", keys.Verifier)
	if diff := cmp.Diff(shape(attempt("alice", known, testKey)), shape(attempt("alice", only("nobody", Verifier{}), testKey))); diff != "" {
		t.Errorf("an unknown user differs from a wrong password (-wrong +unknown):\n%s", diff)
	}
	if diff := cmp.Diff(shape(attempt("alice", known, testKey)), shape(attempt("alice", only("alice", Verifier{}), testKey))); diff != "" {
		t.Errorf("a malformed verifier differs from a wrong password (-wrong +malformed):\n%s", diff)
	}
	once, again := salt(attempt("carol", known, testKey)), salt(attempt("carol", known, testKey))
	if once != again {
		t.Errorf("an unknown user's salt changed from %s to %s", once, again)
	}
	if other := salt(attempt("david", known, testKey)); other == once {
		t.Errorf("two unknown users have the same salt %s", once)
	}
	if other := salt(attempt("carol", known, bytes.Repeat([]byte{8}, 32))); other == once {
		t.Errorf("an unknown user's salt %s does not depend on the key", once)
	}
}

func TestPassword(t *testing.T) {
	for _, tt := range []struct {
		name string
		body message
		want string // SQLSTATE
	}{
		{"right", message{msgPassword, "pencil\x00"}, ""},
		{"not ended", message{msgPassword, "pencil"}, codeViolation},
		{"two strings", message{msgPassword, "pen\x00cil\x00"}, codeViolation},
		{"empty", message{msgPassword, "\x00"}, codePassword},
		{"nothing at all", message{msgPassword, ""}, codeViolation},
		{"a query", message{'Q', "SELECT 1\x00"}, codeViolation},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &tape{script: []func(message) message{says(tt.body.typ, tt.body.body)}}
			s, err := Password(t.Context(), c)
			checkCode(t, err, tt.want)
			if got := s.Password() == "pencil"; got != (tt.want == "") {
				t.Errorf("Password took the password: %v", got)
			}
		})
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	secrets := []any{
		PasswordSecret("pencil"), new(PasswordSecret("pencil")), Secret{scram: pencil(t)},
		pencil(t).Verifier, pencil(t), struct{ S Secret }{PasswordSecret("pencil")},
	}
	for _, s := range secrets {
		var out bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", s)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("login", "secret", s)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("login", "secret", s)
		if err := json.NewEncoder(&out).Encode(s); err != nil {
			t.Error(err)
		}
		for _, leak := range []string{"pencil", "70656e63696c", "W22Z", "4096", "[91 109", "0x5b"} {
			if strings.Contains(out.String(), leak) {
				t.Errorf("%T prints %q in:\n%s", s, leak, &out)
			}
		}
	}
}
