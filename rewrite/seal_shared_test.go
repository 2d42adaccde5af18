package rewrite_test

import (
	"fmt"
	"testing"

	"github.com/pgveil/pgveil/rewrite"
)

// Texts that share a plan are sealed as each by itself, however their literals are
// written.
func TestSealedShared(t *testing.T) {
	e, alone := vault(t), vault(t)
	literals := []string{
		`'a'`, `'b'`, `'it''s'`, `''`, `'\'`, `'\\x'`, `'pgv1.x'`, `'leads'`, `'sealed'`, `E'\\x'`, `E'a\'b'`, `U&'\0061'`, `N'a'`, `B'1'`, `X'1f'`, `$$a$$`, `$a$ 'x' $a$`,
		`1`, `0`, `007`, `-1`, `- 1`, `+1`, `2147483648`, `02147483648`, `1.50`, `.5`, `5.`, `1e3`, `1_000`, `0x1f`, `0o17`, `0b11`, `NULL`, `true`, `'a' 'b'`, "'a'\n'b'", `'a'::text`, `text 'a'`, `('a')`,
	}
	for _, form := range []string{
		`INSERT INTO leads VALUES (1, %s, 'web')`,
		`UPDATE people SET income = %s WHERE ssn = 'x'`,
		`SELECT ssn FROM people WHERE ssn = %s`,
		`SELECT ssn FROM people WHERE ssn IN ('x', %s, 'x')`,
		`UPDATE leads SET ssn = %s, source = 'x' WHERE ssn = 'x'`,
		`INSERT INTO people (id, name, phone) VALUES (1, 'x', %s), (2, 'y', 'x')`,
		`SELECT COALESCE(ssn, %s) FROM people`,
		`ALTER TABLE leads ADD CHECK (ssn LIKE %s)`,
		`DO %s`,
		`SELECT unheard_of(%s)`,
	} {
		var l rewrite.Lookup
		s := session(t, e, "root", "")
		l.Use(e, s)
		for range 2 {
			for _, lit := range literals {
				sql := fmt.Sprintf(form, lit)
				want, wantErr := alone.Plan(session(t, alone, "root", ""), sql)
				got, _, err := l.Plan([]byte(sql))
				if (err == nil) != (wantErr == nil) {
					t.Errorf("%s: %v, by itself %v", sql, err, wantErr)
				}
				if err != nil || wantErr != nil {
					continue
				}
				p := *got.Plan
				if got.SQL != nil {
					p.SQL = string(got.SQL)
					if p.Seals != nil {
						seals := *p.Seals
						seals.Holes = got.Holes
						p.Seals = &seals
					}
				}
				if p.SQL == "" || !p.Changed {
					p.SQL = sql
				}
				if told(&p) != told(want) {
					t.Errorf("%s\nis sent as %s\nby itself  %s", sql, told(&p), told(want))
				}
			}
		}
	}
}
