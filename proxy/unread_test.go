package proxy_test

import (
	"strings"
	"testing"

	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/rewrite/parse"
)

// A text that is too long to be planned passes for callers without
// restrictions, is refused to others, and ends nobody's session.
func TestTextsTooLongToRead(t *testing.T) {
	database := pgtest.Database(t, "shop")
	f := start(t, database, shopPolicy)
	long := "SELECT length('" + strings.Repeat("x", parse.MaxText+1<<20) + "')"
	for _, tt := range []struct{ user, want string }{
		{"dora", "17825792"},
		{"alice", "54000 a statement of 17825810 bytes is longer than the 16777216 that callers with restrictions may send"},
	} {
		conn := f.connect(t, database, tt.user)
		before := heap()
		if got := strings.TrimSuffix(text(t.Context(), conn, long), "\n"); got != tt.want {
			t.Errorf("%s by Query: %q, want %q", tt.user, got, tt.want)
		}
		want := tt.want
		if got := ask(t.Context(), conn, long); got != want && !strings.HasPrefix(got, "54000") {
			t.Errorf("%s by Parse: %q, want %q", tt.user, got, want)
		}
		if got := text(t.Context(), conn, "SELECT 1"); got != "1\n" {
			t.Errorf("%s afterwards: %q", tt.user, got)
		}
		if after := heap(); after > before+8<<20 {
			t.Errorf("%s: the heap grew by %d bytes", tt.user, after-before)
		}
	}
}
