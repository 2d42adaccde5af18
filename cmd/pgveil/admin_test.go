package main

import (
	"net/http"
	"testing"

	"github.com/pgveil/pgveil/internal/pgtest"
)

// TestProfiles holds that there are none unless they are asked for: they can
// hold statements.
func TestProfiles(t *testing.T) {
	for _, tt := range []struct {
		name, config string
		want         int
	}{
		{"by default", "", http.StatusNotFound},
		{"switched on", "pprof: true\n", http.StatusOK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, pgtest.Server(t), pgtest.Database(t, "shop"), "127.0.0.1:0", tt.config)
			r := s.serve(t, "")
			for _, page := range []string{"", "heap", "profile?seconds=1"} {
				if got := r.status(t, "/debug/pprof/"+page); got != tt.want {
					t.Errorf("%q: status %d, want %d", page, got, tt.want)
				}
			}
			r.stop(t)
		})
	}
}

// status asks the admin address for a page and gives the status of the answer.
func (r *running) status(t *testing.T, page string) int {
	t.Helper()
	answer, err := http.Get("http://" + r.address(t, admin) + page)
	if err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	if err := answer.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode
}
