package auth

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// challenger is a step that extends the client's nonce as a server does, and then
// lets edit spoil the challenge.
func challenger(keys *scramKeys, edit func(string) string) func(message) message {
	return func(last message) message {
		_, nonce, _ := strings.Cut(last.body, "r=")
		challenge := "r=" + nonce + "server,s=" + encodeBase64(keys.Salt) + ",i=" + strconv.Itoa(keys.Iterations)
		return asks(authSASLContinue, edit(challenge))(last)
	}
}

// signer is a step that signs the exchange rightly, given the conversation on the
// tape, and then lets edit spoil it.
func signer(c *tape, keys *scramKeys, edit func(string) string) func(message) message {
	return func(last message) message {
		_, bare, _ := strings.Cut(c.sent[0].body, ",,")
		final, _, _ := strings.Cut(last.body, ",p=")
		nonce := final[strings.Index(final, "r="):]
		challenge := nonce + ",s=" + encodeBase64(keys.Salt) + ",i=" + strconv.Itoa(keys.Iterations)
		signature := sign(keys.ServerKey, bare+","+challenge+","+final)
		return asks(authSASLFinal, edit("v="+encodeBase64(signature)))(last)
	}
}

const (
	offerPlain = scramName + "\x00\x00"
	offerBoth  = plusName + "\x00" + scramName + "\x00\x00"
)

func TestLoginBySCRAM(t *testing.T) {
	keys := pencil(t)
	otherSalt, otherCount := *keys, *keys
	otherSalt.Salt = []byte("another salt")
	otherCount.Iterations = 1
	for _, tt := range []struct {
		name   string
		secret Secret
		opts   LoginOptions
		offer  string
		opens  string // what the SASLInitialResponse must contain; "" when there must be none
		ok     bool
	}{
		{"password", PasswordSecret("pencil"), LoginOptions{}, offerPlain, "n,,n=", true},
		{"client key", Secret{scram: keys}, LoginOptions{}, offerPlain, "n,,n=", true},
		{"PLUS", Secret{scram: keys}, LoginOptions{Binding: testBinding}, offerBoth, bindingFlag, true},
		{"PLUS required", Secret{scram: keys}, LoginOptions{Binding: testBinding, RequireBinding: true}, offerBoth, bindingFlag, true},
		{"PLUS not offered", Secret{scram: keys}, LoginOptions{Binding: testBinding}, offerPlain, "y,,n=", true},
		{"PLUS not possible", Secret{scram: keys}, LoginOptions{}, offerBoth, "n,,n=", true},
		{"PLUS required, not offered", Secret{scram: keys}, LoginOptions{Binding: testBinding, RequireBinding: true}, offerPlain, "", false},
		{"PLUS required, not possible", Secret{scram: keys}, LoginOptions{RequireBinding: true}, offerBoth, "", false},
		{"only others offered", Secret{scram: keys}, LoginOptions{}, "OAUTHBEARER\x00\x00", "", false},
		{"nothing offered", Secret{scram: keys}, LoginOptions{}, "\x00", "", false},
		{"offer without end", Secret{scram: keys}, LoginOptions{}, scramName, "", false},
		{"nothing to prove with", Secret{}, LoginOptions{}, offerPlain, "", false},
		{"wrong password", PasswordSecret("eraser"), LoginOptions{}, offerPlain, "n,,n=", false},
		{"key of another salt", Secret{scram: &otherSalt}, LoginOptions{}, offerPlain, "n,,n=", false},
		{"key of another count", Secret{scram: &otherCount}, LoginOptions{}, offerPlain, "n,,n=", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &tape{}
			c.script = []func(message) message{
				asks(authSASL, tt.offer), challenger(keys, unchanged), signer(c, keys, unchanged), asks(authOK, ""),
			}
			if err := Login(t.Context(), c, "user", tt.secret, tt.opts); (err == nil) != tt.ok {
				t.Errorf("Login = %v, want success %v", err, tt.ok)
			}
			switch {
			case tt.opens == "" && len(c.sent) > 0:
				t.Errorf("Login sent %q, want nothing", c.sent)
			case tt.opens != "" && (len(c.sent) == 0 || !strings.Contains(c.sent[0].body, tt.opens)):
				t.Errorf("Login sent %q, want %q in it", c.sent, tt.opens)
			}
		})
	}
}

// TestLoginDisclosesNothing holds the answers to each kind of request against
// what the connection and the Secret allow.
func TestLoginDisclosesNothing(t *testing.T) {
	private := LoginOptions{Private: true}
	bound := LoginOptions{Private: true, RequireBinding: true, Binding: testBinding}
	password, key := PasswordSecret("pencil"), Secret{scram: pencil(t)}
	for _, tt := range []struct {
		name   string
		secret Secret
		opts   LoginOptions
		asked  func(message) message
		want   string // what is sent
		ok     bool
	}{
		{"nothing asked, nothing to prove", Secret{}, private, nil, "", false},
		{"nothing asked, server trusted", Secret{}, LoginOptions{Trust: true}, nil, "", true},
		{"nothing asked, binding required", Secret{}, LoginOptions{Trust: true, RequireBinding: true}, nil, "", false},
		{"nothing asked, password unproven", password, LoginOptions{Trust: true}, nil, "", false},
		{"nothing asked, key unproven", key, LoginOptions{Trust: true}, nil, "", false},
		{"password", password, private, asks(authCleartext, ""), "pencil\x00", true},
		{"password in the open", password, LoginOptions{}, asks(authCleartext, ""), "", false},
		{"password, binding required", password, bound, asks(authCleartext, ""), "", false},
		{"password, but we have a key", key, private, asks(authCleartext, ""), "", false},
		{"password, but we have nothing", Secret{}, private, asks(authCleartext, ""), "", false},
		{"MD5", password, private, asks(authMD5, "salt"), "md5d3d9bcccbaa2fb5234570d4d0f22b055\x00", true},
		{"MD5 in the open", password, LoginOptions{}, asks(authMD5, "salt"), "", false},
		{"MD5, binding required", password, bound, asks(authMD5, "salt"), "", false},
		{"MD5 with a short salt", password, private, asks(authMD5, "sal"), "", false},
		{"MD5, but we have a key", key, private, asks(authMD5, "salt"), "", false},
		{"GSSAPI", password, private, asks(7, ""), "", false},
		{"SSPI", password, private, asks(9, ""), "", false},
		{"continue out of order", password, private, asks(authSASLContinue, "r=a,s=AA==,i=1"), "", false},
		{"final out of order", password, private, asks(authSASLFinal, "v=AA=="), "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &tape{script: []func(message) message{asks(authOK, "")}}
			if tt.asked != nil {
				c.script = []func(message) message{tt.asked, asks(authOK, "")}
			}
			if err := Login(t.Context(), c, "user", tt.secret, tt.opts); (err == nil) != tt.ok {
				t.Errorf("Login = %v, want success %v", err, tt.ok)
			}
			var sent string
			for _, m := range c.sent {
				sent += m.body
			}
			if sent != tt.want {
				t.Errorf("Login sent %q, want %q", sent, tt.want)
			}
		})
	}
}

// TestHostileServer sends, in place of one right message, one that is not.
func TestHostileServer(t *testing.T) {
	keys := pencil(t)
	offer := asks(authSASL, offerPlain)
	replace := func(old, new string) func(string) string {
		return func(s string) string { return strings.Replace(s, old, new, 1) }
	}
	text := func(s string) func(string) string { return func(string) string { return s } }
	iterations := func(n string) func(string) string { return replace("i=4096", "i="+n) }
	challenges := map[string]func(string) string{
		"empty":                   text(""),
		"nonce left out":          func(s string) string { return s[strings.Index(s, "s="):] },
		"salt left out":           func(s string) string { return s[:strings.Index(s, ",s=")] + ",i=4096" },
		"iterations left out":     replace(",i=4096", ""),
		"iterations empty":        iterations(""),
		"no iterations":           iterations("0"),
		"negative iterations":     iterations("-1"),
		"signed iterations":       iterations("+4096"),
		"too many iterations":     iterations("1000001"),
		"2^31-1 iterations":       iterations("2147483647"),
		"2^64 iterations":         iterations("18446744073709551616"),
		"iterations in words":     iterations("many"),
		"salt empty":              func(s string) string { return s[:strings.Index(s, "s=")] + "s=,i=4096" },
		"salt not base64":         replace("s=", "s=!"),
		"salt twice":              replace(",s=", ",s=AA==,s="),
		"nonce twice":             replace("r=", "r=a,r="),
		"attributes swapped":      func(s string) string { i := strings.Index(s, ",s="); return s[i+1:] + "," + s[:i] },
		"nonce not ours":          replace("r=", "r=x"),
		"nonce not extended":      replace("server", ""),
		"nonce beyond ASCII":      replace("server", "s\x00rver"),
		"nonce of 1000":           replace("server", strings.Repeat("a", 1000)),
		"nonce of 1 MiB":          replace("server", strings.Repeat("a", 1<<20)),
		"mandatory extension":     replace("r=", "m=x,r="),
		"extension":               func(s string) string { return s + ",x=y" },
		"trailing comma":          func(s string) string { return s + "," },
		"line break in the salt":  replace(",i=", "\n,i="),
		"a message without comma": text("r=abc"),
	}
	for name, edit := range challenges {
		t.Run("challenge/"+name, func(t *testing.T) {
			c := &tape{}
			c.script = []func(message) message{offer, challenger(keys, edit), signer(c, keys, unchanged), asks(authOK, "")}
			refuses(t, c, keys)
			if len(c.sent) != 1 {
				t.Errorf("Login sent %d messages, want no proof after a bad challenge", len(c.sent))
			}
		})
	}
	signatures := map[string]func(string) string{
		"empty":         text(""),
		"no value":      text("v="),
		"short":         text("v=AAAA"),
		"of zeros":      text("v=" + encodeBase64(make([]byte, 32))),
		"error":         text("e=other-error"),
		"twice":         func(s string) string { return s + "," + s },
		"with an extra": func(s string) string { return s + ",x=y" },
		"line break":    func(s string) string { return s + "\n" },
	}
	for name, edit := range signatures {
		t.Run("signature/"+name, func(t *testing.T) {
			c := &tape{}
			c.script = []func(message) message{offer, challenger(keys, unchanged), signer(c, keys, edit), asks(authOK, "")}
			refuses(t, c, keys)
		})
	}
	right, sig := challenger(keys, unchanged), func(c *tape) func(message) message { return signer(c, keys, unchanged) }
	for name, script := range map[string]func(c *tape) []func(message) message{
		"hangs up":             func(*tape) []func(message) message { return nil },
		"hangs up midway":      func(*tape) []func(message) message { return []func(message) message{offer, right} },
		"OK at once":           func(*tape) []func(message) message { return []func(message) message{asks(authOK, "")} },
		"OK after the offer":   func(*tape) []func(message) message { return []func(message) message{offer, asks(authOK, "")} },
		"OK for the signature": func(*tape) []func(message) message { return []func(message) message{offer, right, asks(authOK, "")} },
		"signature, then more": func(c *tape) []func(message) message {
			return []func(message) message{offer, right, sig(c), asks(authCleartext, "")}
		},
		"OK with a body": func(c *tape) []func(message) message {
			return []func(message) message{offer, right, sig(c), asks(authOK, "x")}
		},
		"ready at once": func(*tape) []func(message) message { return []func(message) message{says('Z', "I")} },
		"a notice": func(*tape) []func(message) message {
			return []func(message) message{says('N', "SNOTICE\x00\x00"), offer}
		},
		"no code":     func(*tape) []func(message) message { return []func(message) message{says('R', "")} },
		"half a code": func(*tape) []func(message) message { return []func(message) message{says('R', "\x00\x00\x00")} },
		"code -1":     func(*tape) []func(message) message { return []func(message) message{asks(0xffffffff, "")} },
		"1 MiB of offers": func(*tape) []func(message) message {
			return []func(message) message{asks(authSASL, strings.Repeat("X\x00", 1<<19))}
		},
		"uninvited version": func(*tape) []func(message) message {
			return []func(message) message{says('v', "\x00\x00\x00\x00"), offer}
		},
	} {
		t.Run("order/"+name, func(t *testing.T) {
			c := &tape{}
			c.script = script(c)
			refuses(t, c, keys)
		})
	}
}

// refuses runs a login that has everything at hand, over a connection that may
// carry anything, and wants it to fail without a word for the client.
func refuses(t *testing.T, c *tape, keys *scramKeys) {
	t.Helper()
	err := Login(t.Context(), c, "user", Secret{scram: keys}, LoginOptions{Private: true, Trust: true})
	var refused *LoginError
	var server *ServerError
	if err == nil || errors.As(err, &refused) || errors.As(err, &server) {
		t.Errorf("Login = %v, want an error of its own", err)
	}
}

func TestLoginNegotiates(t *testing.T) {
	var got string
	opts := LoginOptions{Trust: true, Negotiated: func(body []byte) error { got = string(body); return nil }}
	c := &tape{script: []func(message) message{says('v', "body"), asks(authOK, "")}}
	if err := Login(t.Context(), c, "user", Secret{}, opts); err != nil || got != "body" {
		t.Errorf("Login = %v with %q negotiated, want nil with %q", err, got, "body")
	}
	c = &tape{script: []func(message) message{says('v', "body"), says('v', "body"), asks(authOK, "")}}
	if err := Login(t.Context(), c, "user", Secret{}, opts); err == nil {
		t.Error("Login with the version negotiated twice = nil, want an error")
	}
}

func TestLoginEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := &tape{script: []func(message) message{func(last message) message {
		cancel()
		return asks(authSASL, offerPlain)(last)
	}}}
	if err := Login(ctx, c, "user", PasswordSecret("pencil"), LoginOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Login = %v, want %v", err, context.Canceled)
	}
}

// TestDeadlineEndsLogin does what Conn asks of the owner of a socket, against a
// server that never says a word.
func TestDeadlineEndsLogin(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer context.AfterFunc(ctx, func() { near.SetDeadline(time.Unix(1, 0)) })()
	tooLate := errors.New("login takes too long")
	go cancel(tooLate)
	err := Login(ctx, newSocket(near), "user", PasswordSecret("pencil"), LoginOptions{})
	if !errors.Is(err, tooLate) {
		t.Errorf("Login = %v, want %v", err, tooLate)
	}
}

func TestServerError(t *testing.T) {
	for _, tt := range []struct {
		name, body    string
		code, message string
		wellFormed    bool
	}{
		{"usual", "SFATAL\x00VFATAL\x00C28P01\x00Mno\x00\x00", "28P01", "no", true},
		{"no SQLSTATE", "SFATAL\x00Mno\x00\x00", "", "no", true},
		{"no fields", "\x00", "", "", true},
		{"field twice", "C28P01\x00C42501\x00\x00", "28P01", "", true},
		{"empty field", "C\x00Mno\x00\x00", "", "no", true},
		{"unknown field", "\xffx\x00C28P01\x00\x00", "28P01", "", true},
		{"empty", "", "", "", false},
		{"no end", "C28P01\x00", "", "", false},
		{"field without end", "C28P01", "", "", false},
		{"kind only", "C", "", "", false},
		{"text after the end", "C28P01\x00\x00Mno\x00\x00", "", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &tape{script: []func(message) message{says('E', tt.body)}}
			err := Login(t.Context(), c, "user", PasswordSecret("pencil"), LoginOptions{})
			var refused *ServerError
			if errors.As(err, &refused) != tt.wellFormed {
				t.Fatalf("Login = %v, want a *ServerError: %v", err, tt.wellFormed)
			}
			if !tt.wellFormed {
				return
			}
			if string(refused.Body) != tt.body || refused.Code() != tt.code || refused.Message() != tt.message {
				t.Errorf("ServerError = %q, %q, %q, want %q, %q, %q", refused.Body, refused.Code(), refused.Message(), tt.body, tt.code, tt.message)
			}
		})
	}
}
