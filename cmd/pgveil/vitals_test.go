package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// vitals is what a process takes up.
type vitals struct{ files, goroutines, sessions, memory int }

// metrics asks for all metrics and gives a way to read them.
func (r *running) metrics(t *testing.T) func(name string) float64 {
	t.Helper()
	answer, err := http.Get("http://" + r.address(t, admin) + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := answer.Body.Close(); err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	return func(name string) float64 {
		for line := range strings.Lines(string(text)) {
			if value, ok := strings.CutPrefix(line, name+" "); ok {
				f, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
				if err != nil {
					t.Fatal(err)
				}
				return f
			}
		}
		t.Fatalf("no metric %s", name)
		return 0
	}
}

func (r *running) vitals(t *testing.T) vitals {
	t.Helper()
	metric := r.metrics(t)
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", r.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return vitals{files: len(files), goroutines: int(metric("go_goroutines")), sessions: int(metric("pgveil_sessions")), memory: int(metric("process_resident_memory_bytes"))}
}

// within tells whether a process takes up no more than it did. The question for
// the vitals takes a file and a goroutine or two itself, and the one before may
// not be over.
func (v vitals) within(was vitals) bool {
	return v.files <= was.files+2 && v.goroutines <= was.goroutines+2
}

// settles waits until no session is there and what is left of them stays the
// same.
func (r *running) settles(t *testing.T) {
	t.Helper()
	first, same := vitals{}, 0
	late := time.After(20 * time.Second)
	for tick := time.Tick(20 * time.Millisecond); same < 10; {
		v := r.vitals(t)
		if same++; v.sessions > 0 || !v.within(first) || !first.within(v) {
			first, same = v, 0
		}
		select {
		case <-tick:
		case <-late:
			t.Fatalf("it does not settle: %+v\n%s", v, r.output.String())
		}
	}
}
