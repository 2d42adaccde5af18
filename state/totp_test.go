package state

import (
	"testing"
	"time"
)

// The vectors of RFC 6238, appendix B.
func TestStepVectors(t *testing.T) {
	sha1 := []byte("12345678901234567890")
	sha256 := []byte("12345678901234567890123456789012")
	for at, codes := range map[int64][2]string{
		59:          {"94287082", "46119246"},
		1111111109:  {"07081804", "68084774"},
		1111111111:  {"14050471", "67062674"},
		1234567890:  {"89005924", "91819424"},
		2000000000:  {"69279037", "90698825"},
		20000000000: {"65353130", "77737706"},
	} {
		for i, secret := range [][]byte{sha1, sha256} {
			f := Factor{Algorithm: []string{"SHA1", "SHA256"}[i], Digits: 8, Period: 30 * time.Second}
			for off, want := range map[int64]bool{-2: false, -1: true, 0: true, 1: true, 2: false} {
				now := time.Unix(at+30*off, 0)
				step, ok, err := f.step(secret, codes[i], now)
				if err != nil || ok != want || ok && step != at/30 {
					t.Errorf("%s at %d, %d steps off: step = %d, %v, %v; want %v", f.Algorithm, at, off, step, ok, err, want)
				}
			}
			f.Digits = 6
			if _, ok, err := f.step(secret, codes[i][2:], time.Unix(at, 0)); err != nil || !ok {
				t.Errorf("%s at %d: six digits: %v, %v", f.Algorithm, at, ok, err)
			}
			if _, ok, err := f.step(secret, codes[i], time.Unix(at, 0)); err != nil || ok {
				t.Errorf("%s at %d: eight digits for six: %v, %v", f.Algorithm, at, ok, err)
			}
		}
	}
}

func TestURI(t *testing.T) {
	e := Enrolment{Factor: Factor{User: "anne marie&x=1", Algorithm: "SHA256", Digits: 8, Period: 30 * time.Second}, Secret: []byte("12345678901234567890123456789012")}
	uri, err := e.URI("Example CRM")
	const want = "otpauth://totp/Example%20CRM:anne%20marie&x=1?algorithm=SHA256&digits=8&issuer=Example%20CRM&period=30&secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZA"
	if err != nil || uri != want {
		t.Errorf("URI = %s, %v\nwant  %s", uri, err, want)
	}
}
