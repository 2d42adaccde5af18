package rewrite_test

import (
	"fmt"
	"testing"

	"github.com/pgveil/pgveil/rewrite"
)

// vaultSession gives a session of a user of the fixture whose columns are sealed.
func vaultSession(t testing.TB, e *rewrite.Engine, user string) rewrite.Session {
	t.Helper()
	access, err := e.Policy.Access(user, "support")
	if err != nil {
		access, err = e.Policy.Access(user, "")
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := e.Session(access, "public")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// toldReady is told of a plan that may be shared.
func toldReady(r rewrite.Ready) string {
	if r.SQL == nil {
		return told(r.Plan)
	}
	p := &rewrite.Plan{SQL: string(r.SQL)}
	if r.Plan.Seals != nil {
		p.Seals = &rewrite.Seals{Holes: r.Holes, Params: r.Plan.Seals.Params, Outputs: r.Plan.Seals.Outputs}
	}
	return told(p)
}

// Texts that differ in values to be sealed share a plan, and what is sealed of each is
// what planning it by itself gives.
func TestSealedLiteralsShare(t *testing.T) {
	e, alone := vault(t), vault(t)
	for _, tt := range []struct {
		name   string
		shares bool
		form   string
		lits   []string
	}{
		{"found", true, `SELECT id, ssn FROM people WHERE ssn = %s`, []string{`'1'`, `'2''3'`, `'\4'`, `''`, `'sealed'`}},
		{"written", true, `INSERT INTO people (id, ssn, name, iban) VALUES (7, %s, 'ann', 'b')`, []string{`'1'`, `'2'`, `'3'`}},
		{"written and found", true, `UPDATE people SET phone = %s WHERE phone = 'x' AND id = 3`, []string{`'1'`, `'2'`, `'3'`}},
		{"numbers", true, `UPDATE people SET income = %s WHERE id = 3`, []string{`1`, `007`, `0`, `10`}},
		{"points", true, `UPDATE people SET income = %s WHERE id = 3`, []string{`1.50`, `0.5`, `3.0`, `12345678901`}},
		{"odd points", false, `UPDATE people SET income = %s WHERE id = 3`, []string{`.5`, `3.`, `00012345678901`}},
		{"numbers below zero", false, `UPDATE people SET income = %s`, []string{`-1`, `-2`, `-3`}},
		{"dates", true, `SELECT id FROM people WHERE born = %s`, []string{`'2001-02-03'`, `'today'`, `'1999-12-31'`}},
		{"keys of their own", false, `UPDATE patients SET allergy = %s WHERE id = 1`, []string{`'a'`, `'b'`, `'c'`}},
		{"numbers for texts", true, `SELECT id FROM people WHERE ssn = %s`, []string{`1`, `2`, `3`}},
	} {
		for _, user := range []string{"root", "carla"} {
			t.Run(tt.name+" "+user, func(t *testing.T) {
				var l rewrite.Lookup
				l.Use(e, vaultSession(t, e, user))
				hit := false
				for _, lit := range tt.lits {
					text := fmt.Sprintf(tt.form, lit)
					var r rewrite.Ready
					var err error
					r, hit, err = l.Plan([]byte(text))
					want, wantErr := alone.Plan(vaultSession(t, alone, user), text)
					if fmt.Sprint(err) != fmt.Sprint(wantErr) {
						t.Fatalf("Plan(%q) = %v, want %v", text, err, wantErr)
					}
					if err == nil && toldReady(r) != told(want) {
						t.Errorf("Plan(%q) sends\n%s\nwant\n%s", text, toldReady(r), told(want))
					}
				}
				if hit != tt.shares {
					t.Errorf("the last text was served from the cache: %v, want %v", hit, tt.shares)
				}
			})
		}
	}
}

// BenchmarkLookupSealed finds the plan of texts with values to be sealed that never
// came before, but for their form.
func BenchmarkLookupSealed(b *testing.B) {
	e := vault(b)
	for _, user := range []string{"root", "carla"} {
		b.Run(user, func(b *testing.B) {
			var l rewrite.Lookup
			l.Use(e, vaultSession(b, e, user))
			texts := make([][]byte, 1000)
			for i := range texts {
				texts[i] = fmt.Appendf(nil, `SELECT id, iban FROM people WHERE ssn = '%09d'`, i)
			}
			for _, text := range texts[:3] {
				if _, _, err := l.Plan(text); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, hit, err := l.Plan(texts[3+i%997]); err != nil || !hit {
					b.Fatal(hit, err)
				}
			}
		})
	}
}
