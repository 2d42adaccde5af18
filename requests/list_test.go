package requests_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/requests"
)

// copied opens as many requests more, each like the first.
func (s *scene) copied(t *testing.T, n int, set string) {
	t.Helper()
	s.exec(t, `INSERT INTO pgveil.requests (what, kind, key, token, purpose, reason, regime, channel, received_at, opened_by, due_on, identity, at_once, state, ended_at)
		SELECT what, kind, key, token, purpose, reason, regime, channel, received_at, opened_by, due_on, identity, at_once, state, ended_at
		FROM (SELECT r.* FROM pgveil.requests AS r WHERE id = 1) AS r, generate_series(1, $1)`, n)
	s.exec(t, "UPDATE pgveil.requests SET "+set+" WHERE id > 1")
}

// TestListsAreCutLast: requests that others serve keep nobody's own out of a list,
// and a list that is not all of it says so.
func TestListsAreCutLast(t *testing.T) {
	s := newScene(t, shopPolicy)
	s.must(t, "petra", "PRIVACY OPEN ACCESS person 7")
	s.copied(t, 10001, "what = 'erasure', state = 'cancelled', ended_at = now() + interval '1 day'")
	s.exec(t, "UPDATE pgveil.requests SET state = 'cancelled', ended_at = now() WHERE id = 1")
	rows, err := s.ask(t, s.as(t, "carl"), "PRIVACY SHOW REQUESTS ALL")
	if err != nil || len(rows) != 1 || rows[0][0] != "1" {
		t.Errorf("carl sees %d requests, %v", len(rows), err)
	}
	rows, err = s.ask(t, s.as(t, "petra"), "PRIVACY SHOW REQUESTS ALL")
	if err != nil || len(rows) != 10001 || rows[10000][0] != "" || !strings.Contains(strings.Join(rows[10000], ""), "there are more") {
		t.Errorf("petra sees %d rows, %v", len(rows), err)
	}
	for user, want := range map[string]string{"carl": "1 false", "petra": "10000 true"} {
		all, cut, err := s.service.Views(t.Context(), "done", s.as(t, user))
		if got := fmt.Sprint(len(all), " ", cut); err != nil || got != want {
			t.Errorf("%s sees %s, %v; want %s", user, got, err, want)
		}
	}
	if all, _, err := s.service.Views(t.Context(), "all", requests.By{User: "x", May: func(string) error { return privacy.Fail(privacy.NotAllowed, "", "no") }}); err != nil || len(all) != 0 {
		t.Errorf("who may serve none sees %d, %v", len(all), err)
	}
}

// TestDue lists what has less than a fifth of its time left.
func TestDue(t *testing.T) {
	s := newScene(t, shopPolicy)
	for days, want := range map[int]int{23: 0, 26: 1} {
		s.exec(t, "DELETE FROM pgveil.requests")
		s.must(t, "petra", "PRIVACY OPEN ACCESS person 7")
		s.exec(t, "UPDATE pgveil.requests SET received_at = date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - $1 * interval '1 day'", days)
		s.exec(t, "UPDATE pgveil.requests SET due_on = (received_at AT TIME ZONE 'UTC')::date + 29") // thirty days, with the last
		rows, err := s.ask(t, s.as(t, "petra"), "PRIVACY SHOW REQUESTS DUE")
		if err != nil || len(rows) != want {
			t.Errorf("after %d days of 30: %q, %v", days, rows, err)
		}
	}
}

// TestRemindersLockFew: who is reminded of many requests keeps nobody from most of them.
func TestRemindersLockFew(t *testing.T) {
	s := newScene(t, shopPolicy)
	s.must(t, "petra", "PRIVACY OPEN ACCESS person 7")
	s.copied(t, 49, "warned = 0")
	record, seen, most := s.worker.Record, 0, 0
	s.worker.Record = func(ctx context.Context, d requests.Deed) (uint64, error) {
		seen++
		var free int
		if err := s.conn.QueryRow(ctx, "SELECT count(*) FROM (SELECT FROM pgveil.requests FOR UPDATE SKIP LOCKED) AS r").Scan(&free); err != nil {
			return 0, err
		}
		most = max(most, 50-free)
		return record(ctx, d)
	}
	if err := s.worker.Remind(t.Context(), time.Now().AddDate(1, 0, 0)); err != nil {
		t.Fatal(err)
	}
	if seen != 50 || most > 20 || most == 0 {
		t.Errorf("reminded of %d requests, with %d locked at once", seen, most)
	}
	if got := strings.Count(s.log.String(), "request_overdue"); got != 50 {
		t.Errorf("%d alerts", got)
	}
}
