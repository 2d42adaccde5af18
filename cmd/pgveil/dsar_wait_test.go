package main

import (
	"strings"
	"testing"

	"github.com/pgveil/pgveil/requests"
	"github.com/pgveil/pgveil/state"
)

// TestProgress shows one request as it goes on, to somebody and to a file.
func TestProgress(t *testing.T) {
	views := []requests.View{
		{Number: 7, State: state.RequestQueued},
		{Number: 7, State: state.RequestRunning, Todo: 200},
		{Number: 7, State: state.RequestRunning, Done: 5, Todo: 200},
		{Number: 7, State: state.RequestRunning, Done: 100, Todo: 200},
		{Number: 7, State: state.RequestErased, Done: 201, Todo: 200}, // a row more had come
	}
	for _, tt := range []struct {
		moves bool
		want  string
	}{
		{false, "request 7: waits for a worker\nrequest 7: running, 0 of 200 rows\nrequest 7: running, 100 of 200 rows\n" +
			"request 7: erased; the database is searched for what is left, 201 of 200 rows\n"},
		{true, strings.Join([]string{
			"[" + strings.Repeat(".", 40) + "] waits for a worker",
			"[" + strings.Repeat(".", 40) + "] running, 0 of 200 rows",
			"[#" + strings.Repeat(".", 39) + "] running, 5 of 200 rows",
			"[" + strings.Repeat("#", 20) + strings.Repeat(".", 20) + "] running, 100 of 200 rows",
			"[" + strings.Repeat("#", 40) + "] erased; the database is searched for what is left, 201 of 200 rows",
		}, "\n") + "\n"},
	} {
		var b strings.Builder
		p := progress{w: &b, moves: tt.moves}
		for _, v := range views {
			p.show(v)
		}
		p.end()
		got := strings.TrimPrefix(strings.ReplaceAll(b.String(), "\r\x1b[K", "\n"), "\n")
		if got != tt.want {
			t.Errorf("moving %v:\n%s\nwant\n%s", tt.moves, got, tt.want)
		}
	}
}
