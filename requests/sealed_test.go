package requests_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgveil/pgveil/dsar"
	"github.com/pgveil/pgveil/erasures"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/seal"
)

// TestSealedErasure erases somebody whose address is sealed, by a request that names it,
// and ends only once nothing is left of it, in clear or as it was
// stored.
func TestSealedErasure(t *testing.T) {
	s := newScene(t, strings.NewReplacer("email: [shop.persons.email]", "email: {columns: [shop.persons.email], seal: deterministic}").Replace(shopPolicy))
	ring, err := seal.NewRing(seal.NewKey("email", seal.Primary, time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	set, cat := s.service.Data.Current()
	persons, _ := cat.Relation(nil, "shop", "persons")
	with, err := ring.Sealer(set.Sealed(persons, "email"))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"6", "7"} {
		stored, err := with.Seal(nil, []byte("person"+id+"@example.com"))
		if err != nil {
			t.Fatal(err)
		}
		s.exec(t, "UPDATE shop.persons SET email = $1 WHERE id = "+id, string(stored))
	}
	s.exec(t, "INSERT INTO shop.notes SELECT 2, 'kept: ' || email FROM shop.persons WHERE id = 7; INSERT INTO shop.notes VALUES (3, 'write to Person7@example.com')")
	const ask = "PRIVACY ERASE person WHERE email = 'person7@example.com' VERIFIED BY 'account' BECAUSE 'letter'"
	s.refused(t, s.as(t, "petra"), ask, privacy.NotAvailable, "there are no keys here")
	s.service.Data.Values = dsar.Values{Ring: func() *seal.Ring { return ring }}
	id := s.must(t, "petra", ask)[0]
	s.must(t, "paul", "PRIVACY APPROVE REQUEST "+id)
	s.work(t)
	if got := s.one(t, "SELECT string_agg(id::text, ' ') FROM shop.persons WHERE id IN (6, 7)"); got != "6" {
		t.Fatalf("left are %s: %s, %s", got, s.state(t, id), s.log.String())
	}
	for _, left := range []string{"3", "2"} { // one in clear, and one as it was stored
		if got := s.state(t, id); !strings.HasPrefix(got, "review: what the subject was known by is still in shop.notes.body") {
			t.Errorf("with note %s it is %s", left, got)
		}
		s.exec(t, "DELETE FROM shop.notes WHERE id = "+left)
		s.must(t, "petra", "PRIVACY RUN REQUEST "+id)
		s.work(t)
	}
	if got := s.state(t, id); got != "completed" {
		t.Errorf("in the end it is %s", got)
	}
	if proof := s.must(t, "petra", "PRIVACY SHOW CERTIFICATE "+id)[0]; strings.Contains(proof, "person7@") || strings.Contains(proof, "pgv1.") {
		t.Errorf("the certificate has the address: %s", proof)
	}
	known, err := erasures.Find(t.Context(), s.conn, set.Subjects()[0], s.service.Data.Values.Opening(set), "6")
	if err != nil || !slices.Equal(known.Identifiers, []string{"person6@example.com"}) {
		t.Errorf("another is known by %v, %v", known.Identifiers, err)
	}
}
