package retention_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgveil/pgveil/dsar"
	"github.com/pgveil/pgveil/retention"
	"github.com/pgveil/pgveil/seal"
)

// TestAnonymisesSealed seals what stands in for sealed values, and refuses to without keys.
func TestAnonymisesSealed(t *testing.T) {
	s := newSite(t, crm+`
		CREATE TABLE crm.visits (id int PRIMARY KEY, email text UNIQUE NOT NULL, phone text NOT NULL, phone_blind bytea NOT NULL, fax text, fax_blind bytea, seen_at timestamp)`,
		customers+`
classes:
  open: [crm.visits.id, crm.visits.phone_blind, crm.visits.fax_blind, crm.visits.seen_at]
  email: {columns: [crm.visits.email], seal: deterministic}
  phone: {columns: [crm.visits.phone, crm.visits.fax], seal: randomized, index: blind}
retention: [{on: crm.visits, keep: 250d, after: seen_at, then: anonymise}]
`)
	ring, err := seal.NewRing(seal.NewKey("email", seal.Primary, time.Now()), seal.NewKey("phone", seal.Primary, time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	visits, _ := s.cat.Relation(nil, "crm", "visits")
	sealer := func(column string) *seal.Sealer {
		with, err := ring.Sealer(s.set.Sealed(visits, column))
		if err != nil {
			t.Fatal(err)
		}
		return with
	}
	in := func(column, value string) string {
		stored, err := sealer(column).Seal(nil, []byte(value))
		if err != nil {
			t.Fatal(err)
		}
		return string(stored)
	}
	for id := 1; id <= 5; id++ {
		s.exec(t, "INSERT INTO crm.visits VALUES ($1::int, $2, $3, '\\x01', $4, '\\x02', now() - $1::int * interval '100 days')", id, in("email", fmt.Sprint("ada", id)), in("phone", "1"), in("fax", "2"))
	}
	plan, err := retention.NewPlan(t.Context(), s.conn, s.set, s.cat, s.able())
	if err != nil || len(plan.Rules[0].Refused) != 1 || !strings.Contains(plan.Rules[0].Refused[0], "there are no keys here") {
		t.Errorf("without keys: %v, %+v", err, plan.Rules[0])
	}
	s.values = dsar.Values{Ring: func() *seal.Ring { return ring }}
	for _, want := range []int64{3, 0} {
		if r := s.runAble(t); r.Rows() != want {
			t.Errorf("%+v, want %d rows", r, want)
		}
	}
	opened := func(column string) (all []string) {
		for _, stored := range strings.Fields(s.ids(t, "SELECT "+column+" FROM crm.visits WHERE id > 2 ORDER BY id")) {
			value, err := sealer(column).Open(nil, []byte(stored))
			if err != nil {
				t.Errorf("%s: %v", column, err)
			}
			all = append(all, string(value))
		}
		return all
	}
	if got := opened("phone"); strings.Join(got, " ") != "anonymised anonymised anonymised" {
		t.Errorf("numbers are %q", got)
	}
	for _, email := range opened("email") {
		if !strings.HasSuffix(email, "@anonymised.invalid") {
			t.Errorf("an address is %s", email)
		}
	}
	hash, err := sealer("phone").Blind([]byte("anonymised"))
	if err != nil {
		t.Fatal(err)
	}
	if got := s.ids(t, "SELECT id FROM crm.visits WHERE phone_blind = $1 AND fax IS NULL AND fax_blind IS NULL ORDER BY id", hash); got != "3 4 5" {
		t.Errorf("only %s have the hash, and no other", got)
	}
	if got := s.ids(t, "SELECT count(DISTINCT phone) FROM crm.visits"); got != "5" {
		t.Errorf("%s envelopes in 5 rows", got)
	}
}
