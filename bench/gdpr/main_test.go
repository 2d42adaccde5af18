package main

import (
	"errors"
	"regexp"
	"testing"
	"time"

	"github.com/pgveil/pgveil/internal/pgserver"
)

// TestSmall has all roles work for a second, and few be erased at night: the
// answers of both sides are compared as in a long run.
func TestSmall(t *testing.T) {
	if _, err := pgserver.Find(); errors.Is(err, pgserver.ErrNotFound) {
		t.Skip(err)
	}
	small := options{customers: 1000, rows: 10_000, requests: 3, workers: 2, seconds: time.Second, only: regexp.MustCompile("")}
	for name, what := range map[string]measure{"roles": roles, "night": night} { // big waits a minute for the search
		t.Run(name, func(t *testing.T) {
			if err := perform(t.Context(), small, name, what); err != nil {
				t.Fatal(err)
			}
		})
	}
}
