package rewrite_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgveil/pgveil/rewrite"
)

// TestTokensTakeNoRoom plans what requests begin with that have a token of their
// own: it does not take the place of what comes again.
func TestTokensTakeNoRoom(t *testing.T) {
	e, s := planSession(t, "alice")
	var l rewrite.Lookup
	l.Use(e, s)
	const useful = "EXPLAIN SELECT first_name FROM crm.customers WHERE id = 1"
	if _, _, err := l.Plan([]byte(useful)); err != nil {
		t.Fatal(err)
	}
	for i := range 10_000 {
		set := fmt.Sprintf("SET LOCAL pgveil.token = '%d%s'", i, strings.Repeat("x", 500))
		if _, _, err := l.Plan([]byte(set)); err != nil {
			t.Fatal(err)
		}
	}
	if _, hit, _ := l.Known([]byte(useful)); !hit {
		t.Error("a plan gave way to tokens")
	}
}
