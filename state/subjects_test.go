package state_test

import (
	"fmt"
	"maps"
	"sync"
	"testing"
)

func TestSubjectTokens(t *testing.T) {
	s := newSite(t)
	first, second := s.store(t), s.store(t)
	tokens, err := first.SubjectTokens(t.Context(), "customer", []string{"2", "1", "2", "O'Neil \\ \x01"})
	if err != nil || len(tokens) != 3 {
		t.Fatal(tokens, err)
	}
	again, err := second.SubjectTokens(t.Context(), "customer", []string{"O'Neil \\ \x01", "1", "2"})
	if err != nil || !maps.Equal(tokens, again) {
		t.Errorf("then %v, %v; first %v", again, err, tokens)
	}
	staff, err := second.SubjectTokens(t.Context(), "employee", []string{"1"})
	if err != nil || staff["1"] == tokens["1"] || len(staff["1"]) != 22 {
		t.Errorf("of another kind %v, %v", staff, err)
	}
	s.exec(t, "DELETE FROM pgveil.subjects WHERE kind = 'customer' AND key = '1'")
	after, err := first.SubjectTokens(t.Context(), "customer", []string{"1"})
	if err != nil || after["1"] == tokens["1"] {
		t.Errorf("after its row was removed %v, %v", after, err)
	}
	if _, err := first.SubjectTokens(t.Context(), "customer", []string{"a\x00b"}); err == nil {
		t.Error("a key with a NUL has a token")
	}
}

// TestSubjectTokensAtOnce has several proxies name the same subjects, in
// different orders: each has one token.
func TestSubjectTokensAtOnce(t *testing.T) {
	s := newSite(t)
	const stores, subjects = 4, 500
	var all [stores]map[string]string
	var tasks sync.WaitGroup
	for i := range stores {
		store := s.store(t)
		tasks.Go(func() {
			var keys []string
			for k := range subjects {
				keys = append(keys, fmt.Sprint((k*(i*2+1)+i*77)%subjects))
			}
			var err error
			if all[i], err = store.SubjectTokens(t.Context(), "customer", keys); err != nil {
				t.Error(err)
			}
		})
	}
	tasks.Wait()
	for i := range all {
		for k, token := range all[i] {
			if all[0][k] != token {
				t.Fatalf("subject %s is %s and %s", k, all[0][k], token)
			}
		}
	}
}
