package auth

import (
	"errors"
	"strings"
	"testing"
)

// FuzzSCRAMClient is a client that says anything: it never gets in, and it is
// told nothing but a LoginError.
func FuzzSCRAMClient(f *testing.F) {
	keys := pencil(f)
	f.Add(initial(scramName, "n,,n=,r=a"), "c=biws,r=a,p="+encodeBase64(make([]byte, 32)), false)
	f.Add(initial(plusName, bindingFlag+",,n=,r=a"), "c=,r=a,p=", true)
	f.Add(scramName+"\x00\xff\xff\xff\xff", "", false)
	f.Add(scramName+"\x00\x7f\xff\xff\xffn,,", "", false)
	f.Fuzz(func(t *testing.T, first, final string, bind bool) {
		var binding ChannelBinding
		if bind {
			binding = testBinding
		}
		// %N stands for the nonce, which the fuzzer cannot guess.
		c := &tape{script: []func(message) message{says(msgPassword, first), func(last message) message {
			nonce, _, _ := strings.Cut(last.body[6:], ",")
			return message{msgPassword, strings.ReplaceAll(final, "%N", nonce)}
		}}}
		s, err := SCRAM(t.Context(), c, "user", only("user", keys.Verifier), binding, testKey)
		if err == nil || !s.IsZero() {
			t.Fatalf("SCRAM(%q, %q) let a client in that proved nothing", first, final)
		}
		if refused := (*LoginError)(nil); !errors.As(err, &refused) && !errors.Is(err, errTooLong) {
			t.Errorf("SCRAM(%q, %q) = %v, want a *LoginError", first, final, err)
		}
	})
}

// FuzzSCRAMServer is a server that says anything: it never makes us believe that
// it knows the password, nor read past the end of its errors.
func FuzzSCRAMServer(f *testing.F) {
	keys := pencil(f)
	f.Add(byte('R'), "\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00", "\x00\x00\x00\x0br=%Nx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "\x00\x00\x00\x0cv=AAAA")
	f.Add(byte('R'), "\x00\x00\x00\x0aSCRAM-SHA-256-PLUS\x00SCRAM-SHA-256\x00\x00", "\x00\x00\x00\x0br=%N,s=AA==,i=99999999", "")
	f.Add(byte('R'), "\x00\x00\x00\x00", "\x00\x00\x00\x00", "\x00\x00\x00\x00")
	f.Add(byte('R'), "\x00\x00\x00\x05salt", "\x00\x00\x00\x00", "")
	f.Add(byte('E'), "SFATAL\x00C28P01\x00Mno\x00\x00", "", "")
	f.Fuzz(func(t *testing.T, typ byte, offer, challenge, signature string) {
		c := &tape{script: []func(message) message{says(typ, offer), func(last message) message {
			_, nonce, _ := strings.Cut(last.body, "r=")
			return message{msgAuthentication, strings.ReplaceAll(challenge, "%N", nonce)}
		}, says(msgAuthentication, signature), asks(authOK, "")}}
		err := Login(t.Context(), c, "user", Secret{scram: keys}, LoginOptions{Private: true, Binding: testBinding})
		if err == nil {
			t.Fatalf("Login(%q, %q, %q) believed the server", offer, challenge, signature)
		}
		if refused := (*ServerError)(nil); errors.As(err, &refused) {
			_ = refused.Code() + refused.Message()
		}
	})
}

// FuzzParseVerifier holds what is accepted to what a login can use, and to one
// spelling.
func FuzzParseVerifier(f *testing.F) {
	f.Add("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=")
	f.Add("md5d3d9bcccbaa2fb5234570d4d0f22b055")
	f.Add("SCRAM-SHA-256$1:$:")
	f.Fuzz(func(t *testing.T, text string) {
		v, err := ParseVerifier(text)
		if err != nil {
			return
		}
		if !v.usable() {
			t.Fatalf("ParseVerifier(%q) accepts a verifier that fits no password", text)
		}
		keys := "$" + encodeBase64(v.StoredKey) + ":" + encodeBase64(v.ServerKey)
		if !strings.HasSuffix(text, ":"+encodeBase64(v.Salt)+keys) {
			t.Errorf("ParseVerifier(%q) accepts another spelling", text)
		}
	})
}

// BenchmarkSCRAM is pgveil's own work for one login in which the client keeps its
// password to itself: both sides, over no network, and the client's share of one
// HMAC that it computes in the step.
func BenchmarkSCRAM(b *testing.B) {
	keys := pencil(b)
	bare := "n=,r=" + testNonce
	lookup := only("user", keys.Verifier)
	for b.Loop() {
		client := &tape{script: []func(message) message{
			says(msgPassword, initial(scramName, "n,,"+bare)), prover(keys, "n,,", bare, unchanged),
		}}
		s, err := SCRAM(b.Context(), client, "user", lookup, nil, testKey)
		if err != nil {
			b.Fatal(err)
		}
		logIn(b, s, keys)
	}
}

// BenchmarkPassword is the same when the password is passed through: the keys
// have to be derived.
func BenchmarkPassword(b *testing.B) {
	keys := pencil(b)
	for b.Loop() {
		logIn(b, PasswordSecret("pencil"), keys)
	}
}

func logIn(b *testing.B, s Secret, keys *scramKeys) {
	b.Helper()
	c := &tape{}
	c.script = []func(message) message{
		asks(authSASL, offerPlain), challenger(keys, unchanged), signer(c, keys, unchanged), asks(authOK, ""),
	}
	if err := Login(b.Context(), c, "user", s, LoginOptions{}); err != nil {
		b.Fatal(err)
	}
}
