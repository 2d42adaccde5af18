package cases

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/policy"
)

// TestBenignInput does so with statements to which a client sends more than
// their text: parameters by the extended protocol, where the types that the
// server infers must stay the same too, and the rows of COPY. The functions and
// operators of extensions are here because a catalog made of text lacks them.
func TestBenignInput(t *testing.T) {
	b := newBenign(t, "sales")
	for _, tt := range []struct {
		user, sql  string
		parameters string // separated by |
		rows       string // of COPY
	}{
		{user: "sam", sql: "SELECT id, name FROM accounts WHERE id = $1", parameters: "7"},
		{user: "sam", sql: "SELECT id, email, phone FROM contacts WHERE last_name = $1 AND score > $2 ORDER BY id LIMIT $3 OFFSET $4", parameters: "Smith|10|5|0"},
		{user: "sam", sql: "SELECT id FROM contacts WHERE ($1::text IS NULL OR city = $1) AND created_at >= $2 ORDER BY id", parameters: "Berlin|2025-06-01"},
		{user: "sam", sql: "SELECT id, name FROM accounts WHERE id = ANY($1) ORDER BY id", parameters: "{1,2,3}"},
		{user: "sam", sql: "SELECT id, name FROM accounts WHERE name ILIKE '%' || $1 || '%' ORDER BY id", parameters: "corp"},
		{user: "sam", sql: "SELECT id FROM accounts WHERE custom @> $1 AND tags && $2 AND country = $3 ORDER BY id", parameters: `{"tier": "gold"}|{vip}|DE`},
		{user: "sam", sql: "SELECT id FROM accounts WHERE custom->>$1 = $2 ORDER BY id", parameters: "tier|gold"},
		{user: "sam", sql: "SELECT id FROM leads WHERE status = $1 AND budget @> $2::int ORDER BY id", parameters: "new|12000"},
		{user: "sam", sql: "SELECT id FROM leads WHERE status = ANY($1::sales.lead_status[]) ORDER BY id", parameters: "{new,working}"},
		{user: "sam", sql: "SELECT id, amount * $1 AS converted FROM opportunities WHERE close_date BETWEEN $2 AND $3::date + interval '30 days' ORDER BY id", parameters: "1.1|2026-02-01|2026-03-01"},
		{user: "sam", sql: "SELECT date_trunc($1, issued_on) AS period, sum(amount) FROM invoices GROUP BY 1 ORDER BY 1", parameters: "month"},
		{user: "sam", sql: "SELECT id FROM activities WHERE happened_at > $1 AND kind = $2 AND ($3::bigint IS NULL OR account_id = $3) ORDER BY happened_at LIMIT 5", parameters: "2026-01-01|call|6"},
		{user: "sam", sql: "SELECT coalesce($1, name) AS n, $2::int + 1 FROM stages WHERE id = $3", parameters: "x|41|1"},
		{user: "sam", sql: "SELECT id FROM accounts WHERE search @@ plainto_tsquery('simple', $1) ORDER BY id", parameters: "globex"},
		{user: "sam", sql: "SELECT id, phone FROM contacts WHERE phone LIKE $1 ORDER BY id", parameters: "+** %"},
		{user: "sam", sql: "SELECT id FROM contacts WHERE birth_date < $1 ORDER BY id", parameters: "1970-01-01"},
		{user: "sam", sql: "SELECT id FROM users WHERE work_email = $1", parameters: "USER4@seller.example"},
		{user: "sam", sql: "SELECT id FROM contacts WHERE uid = $1", parameters: "c3a1bce6-9d74-74e0-7770-9bebb31a8760"},
		{user: "sam", sql: "SELECT p.sku FROM products p WHERE p.attributes->>'color' = $1 AND p.list_price <= $2 AND p.warranty > $3 ORDER BY 1", parameters: "red|900|1 year"},
		{user: "sam", sql: "SELECT CASE WHEN score > $1 THEN $2 ELSE $3 END AS heat, count(*) FROM contacts GROUP BY 1 ORDER BY 1", parameters: "50|hot|cold"},
		{user: "sam", sql: "INSERT INTO accounts (name, owner_id, country, tags, custom, annual_revenue, main_phone) VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id, name, tags", parameters: `P|2|DE|{a}|{"x":1}|5.5|+49 1`},
		{user: "sam", sql: "INSERT INTO contacts (uid, first_name, last_name, email, phone, birth_date, photo, preferences) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id, full_name", parameters: `00000000-0000-0000-0000-0000000000aa|A|B|a@b.example|+1|1990-01-01|\x00ff|{}`},
		{user: "sam", sql: "INSERT INTO tags (label, color) VALUES ($1, $2) ON CONFLICT (label) DO UPDATE SET color = $3 RETURNING id, color", parameters: "hot|#1|#2"},
		{user: "sam", sql: "INSERT INTO stages (id, name, position, probability) SELECT $1, $2, max(position) + 1, $3 FROM stages RETURNING *", parameters: "9|Nine|12.5"},
		{user: "sam", sql: "UPDATE contacts SET account_id = $1, country = $2, languages = $3, custom = custom || $4 WHERE id = ANY($5::bigint[]) RETURNING id, custom", parameters: `4|GB|{en,cy}|{"z":1}|{1,2}`},
		{user: "sam", sql: "UPDATE users SET salary = $1, last_ip = $2, last_login = $3 WHERE username = $4", parameters: "77000|10.1.1.1|2026-06-01 10:00+00|user2"},
		{user: "sam", sql: "UPDATE leads SET status = $1, score = score + $2, budget = int4range($3, $4) WHERE id = $5 RETURNING status, score, budget", parameters: "working|5|1|10|1"},
		{user: "sam", sql: "DELETE FROM notes WHERE account_id = $1 AND written_at < $2 RETURNING id, body", parameters: "3|2026-05-01"},
		{user: "sam", sql: "DELETE FROM contacts WHERE id IN ($1, $2) RETURNING id", parameters: "58|59"},
		{user: "sam", sql: "WITH t AS (SELECT $1::int AS n) UPDATE opportunities SET amount = amount + t.n FROM t WHERE id = $2 RETURNING amount", parameters: "100|4"},
		{user: "sam", sql: "SELECT id FROM jobs WHERE run_at <= $1 AND queue = $2 ORDER BY run_at FOR UPDATE SKIP LOCKED LIMIT $3", parameters: "2026-07-01|mail|1"},
		{user: "sam", sql: "SELECT set_config('application_name', $1, false)", parameters: "app"},
		{user: "sam", sql: "SELECT $1::text, $2::int[], $3::jsonb, $4::timestamptz, $5::uuid, $6::numeric(10,2), $7::bytea", parameters: `a|{1}|{}|2026-01-01|00000000-0000-0000-0000-000000000001|1.234|\x00`},
		{user: "alice", sql: "SELECT c.id, c.full_name FROM contacts c WHERE c.country = $1 AND c.city ILIKE $2 ORDER BY c.id", parameters: "DE|b%"},
		{user: "alice", sql: "UPDATE accounts SET website = $1 WHERE id = $2", parameters: "w|5"},
		{user: "alice", sql: "INSERT INTO cases (account_id, subject, opened_at, sla, priority) VALUES ($1, $2, $3, $4, $5) RETURNING id, sla", parameters: "5|s|2026-01-01|3 days|high"},
		{user: "ana", sql: "SELECT birth_date, count(*) FROM contacts WHERE birth_date >= $1 GROUP BY 1 ORDER BY 1", parameters: "1970-01-01"},
		{user: "ana", sql: "SELECT round(avg(salary), $1) FROM users WHERE salary > $2", parameters: "1|60000"},
		{user: "bea", sql: "INSERT INTO payments (invoice_id, paid_on, amount, method, payer_iban, card_last4) VALUES ($1, $2, $3, $4, $5, $6) RETURNING id, method", parameters: "1003|2026-06-01|5.25|sepa|DE99|1234"},
		{user: "sam", sql: "SELECT id, name FROM accounts ORDER BY name <-> $1, id LIMIT 5", parameters: "Hoolli"},
		{user: "sam", sql: "SELECT id FROM tags WHERE label LIKE $1 AND label ~ $2 AND replace(label, 'O', '0') <> '' ORDER BY id", parameters: "H%|^hot$"},
		{user: "sam", sql: "SELECT room FROM bookings WHERE during @> $1::timestamptz ORDER BY lower(during) <-> now(), id", parameters: "2026-06-01 10:30+00"},
		{user: "sam", sql: "SELECT id FROM bookings WHERE during @> $1::timestamptz ORDER BY id", parameters: "2026-06-01 10:30+00"},
		{user: "sam", sql: "COPY tags (label, color) FROM STDIN", rows: "One\t#111111\nTwo\t\\N\n"},
		{user: "sam", sql: "COPY contacts (uid, first_name, last_name, email, phone) FROM STDIN WITH (FORMAT csv, HEADER true)", rows: "uid,first_name,last_name,email,phone\n00000000-0000-0000-0000-0000000000b1,Ann,\"O, Neil\",ann@n.example,+1\n"},
		{user: "sam", sql: "COPY activities (id, kind, user_id, subject, happened_at) FROM STDIN", rows: "7001\tcall\t1\tone\t2025-05-05\n7002\tnote\t2\ttwo\t2026-05-05\n"},
		{user: "sam", sql: "COPY stages FROM STDIN (DELIMITER ',')", rows: "9,Nine,9,90,f,f\n"},
		{user: "bea", sql: "COPY payments (invoice_id, paid_on, amount, method) FROM STDIN", rows: "1001\t2026-06-06\t5\tsepa\n"},
		{user: "sam", sql: "UPDATE contacts SET phone = $1, title = $2, score = $3 WHERE id = $4 RETURNING id, title, score", parameters: "+49 999|Boss|5|3"},
		{user: "sam", sql: "UPDATE contacts SET title = $2, birth_date = $3, last_ip = $4, preferences = $5, photo = $6, mobile = coalesce($7, mobile), notes = $8 WHERE id = $1", parameters: `3|x@y.example|1999-09-09|10.0.0.1|{"a":2}|\x01|+2|fresh`},
		{user: "sam", sql: "UPDATE accounts SET iban = $1, vat_id = $2, annual_revenue = $3, contract = $4, rating = $5 WHERE id = $6 AND version = $7 RETURNING version", parameters: "DE1|DE2|99|[2026-01-01,2027-01-01)|AAA|3|1"},
		{user: "sam", sql: "UPDATE payments SET card_last4 = $1, payer_iban = $2 WHERE id = $3 RETURNING id", parameters: "9999|FR1|2"},
		{user: "alice", sql: "UPDATE contacts SET title = $1, phone = $2 WHERE id = $3 RETURNING id", parameters: "T|+1|5"},
		{user: "bea", sql: "UPDATE payments SET amount = $1, payer_iban = $2 WHERE id = $3", parameters: "1.5|DE77|1"},
		{user: "sam", sql: "SELECT id, name, similarity(name, $1) AS s FROM accounts WHERE name % $1 ORDER BY s DESC, id", parameters: "Globx Corp"},
		{user: "sam", sql: "SELECT show_trgm($1)", parameters: "abc"},
		{user: "sam", sql: "SELECT id FROM accounts WHERE $1 <% name OR word_similarity($1, name) > 0.8 ORDER BY id", parameters: "tyrell"},
	} {
		t.Run(tt.sql, func(t *testing.T) {
			in := &input{rows: tt.rows}
			if tt.rows == "" {
				in.parameters = strings.FieldsFunc(tt.parameters, func(r rune) bool { return r == '|' })
			}
			c := &Case{Fixture: "sales", Claim: policy.Claim{Login: tt.user}, SearchPath: "sales, public", SQL: tt.sql}
			if err := b.same(t.Context(), c, in); err != nil {
				t.Errorf("as %s: %v", tt.user, err)
			}
		})
	}
}

// input is what a client sends beside a text: parameters, or the rows of COPY.
type input struct {
	parameters []string
	rows       string
}

// answerPrepared does so by the extended protocol, and tells of the parameters
// what a driver learns.
func answerPrepared(ctx context.Context, conn *pgconn.PgConn, sql string, parameters []string) ([]string, error) {
	d, err := conn.Prepare(ctx, "", sql, nil)
	if err != nil {
		return closing(nil, pgconn.CommandTag{}, err)
	}
	values := make([][]byte, len(parameters))
	for i, v := range parameters {
		values[i] = []byte(v)
	}
	lines := []string{fmt.Sprint("parameters ", d.ParamOIDs), head(d.Fields)}
	result := conn.ExecPrepared(ctx, "", values, nil, nil).Read()
	for _, row := range result.Rows {
		lines = append(lines, line(row))
	}
	return closing(lines, result.CommandTag, result.Err)
}
