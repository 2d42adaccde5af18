package proxy_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/pgveil/pgveil/audit"
)

// TestRequestsInSQL has officers work with requests as with tables, and finds
// each step in the access log.
func TestRequestsInSQL(t *testing.T) {
	f, database, own := club(t)
	petra := f.connect(t, database, "petra")
	script(t, petra,
		"PRIVACY SHOW REQUESTS", `$`,
		"PRIVACY OPEN RESTRICTION member 3 CHANNEL 'mail' BECAUSE 'accuracy contested'", `1\|restriction\|member:[^|]{22}\|open\|[-0-9]{10}\|a check of the identity by contact\|none\|[0-9a-f]{12}\|\|petra\|accuracy contested`,
		"PRIVACY RUN REQUEST 1", `55000 the request lacks a check`,
		"PRIVACY VERIFY REQUEST 1 BY contact EVIDENCE 'answered'", `1\|restriction\|[^|]*\|ready\|`,
		"PRIVACY RUN REQUEST 1", `1\|restriction\|[^|]*\|queued\|`,
		"PRIVACY SHOW REQUEST 1", `[^\n]*\|petra\|opened\|accuracy contested\|[0-9a-f]{64}\n.*now: queued`,
		"PRIVACY RUN REQUEST 99", `P0002`,
		"PRIVACY OPEN ERASURE member 3", `42501 your roles may not erase data subjects`,
		"PRIVACY ERASE member 3 BECAUSE 'x'", `42501`,
		"PRIVACY HOLD member 3 BECAUSE 'x'", `42501 your roles may not hold rows back from erasure`,
		"PRIVACY OPEN RESTRICTION member 99 BECAUSE 'x'", `P0002`,
	)
	script(t, f.connect(t, database, "ed"), "PRIVACY SHOW REQUESTS", `42501 your roles may not serve data subjects`, "PRIVACY SHOW REQUEST 1", `42501`)
	if _, err := petra.Prepare(t.Context(), "cancel", "PRIVACY CANCEL REQUEST 1 BECAUSE 'taken back'"); err != nil {
		t.Fatal(err)
	}
	rows, err := petra.Query(t.Context(), "cancel")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		if v, err := rows.Values(); err != nil || len(v) != 11 || v[3] != "cancelled" {
			t.Errorf("prepared: %v, %v", v, err)
		}
	}
	if rows.Err() != nil {
		t.Fatal(rows.Err())
	}
	logged := map[string]bool{}
	for r, err := range audit.Read(f.AuditDir, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Kind == audit.KindPrivacy && r.Event != "" {
			logged[r.Event] = true
		}
		if strings.Contains(r.Shape, "contested") || strings.Contains(r.Shape, "answered") {
			t.Errorf("the access log holds a value: %s", r.Shape)
		}
	}
	found, err := own.Query(t.Context(), "SELECT digest FROM pgveil.request_events")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for found.Next() {
		var digest []byte
		if err := found.Scan(&digest); err != nil {
			t.Fatal(err)
		}
		n++
		if !logged[hex.EncodeToString(digest)] {
			t.Errorf("event %d is not in the access log", n)
		}
	}
	if n != 5 || found.Err() != nil {
		t.Errorf("%d events, want opened, planned, checked, told to run and cancelled; %v", n, found.Err())
	}
}
