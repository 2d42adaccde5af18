package seal

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// The vectors are those of the specification.
func TestXAES(t *testing.T) {
	nonce := []byte("ABCDEFGHIJKLMNOPQRSTUVWX")
	for _, tt := range []struct {
		key         byte
		bound, want string
	}{
		{1, "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"},
		{3, "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"},
	} {
		x, err := newXAES(bytes.Repeat([]byte{tt.key}, 32))
		if err != nil {
			t.Fatal(err)
		}
		got, err := x.seal(nil, nonce, []byte("XAES-256-GCM"), []byte(tt.bound))
		if err != nil || hex.EncodeToString(got) != tt.want {
			t.Errorf("key %d: %x, %v", tt.key, got, err)
		}
		if value, err := x.open(nil, nonce, got, []byte(tt.bound)); err != nil || string(value) != "XAES-256-GCM" {
			t.Errorf("key %d opens to %q, %v", tt.key, value, err)
		}
	}
}
