package proxy_test

import (
	"io"
	"testing"
	"time"

	"github.com/pgveil/pgveil/seal"
)

var errEOF = io.EOF

// testRing makes keys for the classes of the fixture.
func testRing(t testing.TB) *seal.Ring {
	t.Helper()
	var keys []*seal.Key
	for _, class := range []string{"national_id", "visit_id", "account", "birth", "income", "notes", "phone", "allergy", "weight", "pin", "signature", "memo", "limits", "content", "secret"} {
		keys = append(keys, seal.NewKey(class, seal.Primary, time.Unix(0, 0)))
	}
	r, err := seal.NewRing(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
