package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// heroQuery finds a European customer of whom there is something in every
// table and column that the steps look at.
const heroQuery = `SELECT c.id FROM crm.customers AS c
WHERE c.region = 'EU' AND NOT c.restricted
  AND num_nulls(c.phone, c.birth_date, c.ssn, c.card, c.notes, c.last_ip) = 0
  AND extract(month FROM c.birth_date) > 1
  AND EXISTS (SELECT FROM crm.consents AS s WHERE s.customer_id = c.id AND s.purpose = 'newsletter' AND s.withdrawn_at IS NULL)
  AND EXISTS (SELECT FROM crm.orders AS o JOIN crm.invoices AS i ON i.order_id = o.id WHERE o.customer_id = c.id)
  AND EXISTS (SELECT FROM crm.tickets AS t WHERE t.customer_id = c.id)
  AND EXISTS (SELECT FROM crm.activities AS a WHERE a.customer_id = c.id)
ORDER BY length(c.email), c.id LIMIT 1`

// strangerQuery finds one whom neither European support nor marketing sees.
const strangerQuery = `SELECT c.id FROM crm.customers AS c
WHERE c.region = 'US' AND NOT c.restricted AND c.birth_date IS NOT NULL
  AND NOT EXISTS (SELECT FROM crm.consents AS s WHERE s.customer_id = c.id AND s.purpose = 'newsletter' AND s.withdrawn_at IS NULL)
ORDER BY length(c.email), c.id LIMIT 1`

// sight is what one caller sees of the two customers, and how many in all.
type sight struct {
	title          string
	hero, stranger []string // nil when the row is not there
	count          string
}

// cast chooses the customers whom the steps are about.
func (t *tour) cast(ctx context.Context) error {
	for _, c := range []struct {
		id  *string
		sql string
	}{{&t.hero, heroQuery}, {&t.stranger, strangerQuery}} {
		found, err := t.stored(ctx, c.sql)
		if err != nil {
			return err
		}
		*c.id = found[0]
	}
	return nil
}

func (t *tour) fourCallers(ctx context.Context) error {
	sql := fmt.Sprintf("SELECT first_name, last_name, email, birth_date, country FROM crm.customers WHERE id IN (%s, %s) ORDER BY id = %[2]s", t.hero, t.stranger)
	t.out.statement("each", sql)
	var sights []sight
	for _, c := range []struct{ title, name, purpose string }{
		{"administrator", "dora", ""}, {"support, Europe", "alice", "support"}, {"analyst", "ana", "analytics"}, {"marketing", "max", "marketing"},
	} {
		s := sight{title: c.title}
		if err := t.look(ctx, &s, c.name, c.purpose, sql); err != nil {
			return err
		}
		sights = append(sights, s)
	}
	t.sideBySide(sights)
	return t.checkSights(ctx, sights)
}

func (t *tour) look(ctx context.Context, s *sight, name, purpose, sql string) error {
	c, err := t.as(ctx, name, purpose)
	if err != nil {
		return err
	}
	people, err := c.ask(ctx, sql)
	if err != nil {
		return err
	}
	if len(people.rows) == 0 {
		return fmt.Errorf("%s sees neither customer: %v", name, people)
	}
	count, err := c.ask(ctx, "SELECT count(*) FROM crm.customers")
	if err != nil {
		return err
	}
	s.count = count.String()
	for i, r := range people.rows {
		if i == 0 {
			s.hero = r
		} else {
			s.stranger = r
		}
	}
	return nil
}

// sideBySide shows a column for each caller. What differs from the first is
// coloured.
func (t *tour) sideBySide(sights []sight) {
	titles := []string{""}
	for _, s := range sights {
		titles = append(titles, s.title)
	}
	var rows [][]cell
	line := func(label string, of func(sight) string) {
		cells := []cell{{label, dim}}
		for _, s := range sights {
			c := cell{text: of(s)}
			if c.text != of(sights[0]) {
				c.hue = yellow
			}
			cells = append(cells, c)
		}
		rows = append(rows, cells)
	}
	field := func(r []string, i int) string {
		if r == nil {
			return "(no row)"
		}
		return r[i]
	}
	for i, name := range []string{"first name", "last name", "email", "born", "country"} {
		line(t.hero+" "+name, func(s sight) string { return field(s.hero, i) })
	}
	rows = append(rows, row(make([]string, len(titles))...))
	for i, name := range []string{"first name", "last name", "email", "born", "country"} {
		line(t.stranger+" "+name, func(s sight) string { return field(s.stranger, i) })
	}
	rows = append(rows, row(make([]string, len(titles))...))
	line("customers", func(s sight) string { return s.count })
	t.out.table(titles, rows)
}

func (t *tour) checkSights(ctx context.Context, sights []sight) error {
	const person = `SELECT first_name, last_name, email, %s, country FROM crm.customers WHERE id = %s`
	var want [4][]string
	for i, sql := range []string{
		fmt.Sprintf(person, "birth_date", t.hero),
		fmt.Sprintf(person, "date_trunc('year', birth_date)::date", t.hero),
		fmt.Sprintf(person, "make_date(extract(year FROM birth_date)::int / 10 * 10, 1, 1)", t.hero),
		`SELECT count(*), count(*) FILTER (WHERE region = 'EU' AND NOT restricted), count(*) FILTER (WHERE NOT restricted),
		        count(*) FILTER (WHERE NOT restricted AND id IN (SELECT customer_id FROM crm.consents WHERE purpose = 'newsletter' AND withdrawn_at IS NULL))
		 FROM crm.customers`,
	} {
		var err error
		if want[i], err = t.stored(ctx, sql); err != nil {
			return err
		}
	}
	clear, year, decade, counts := want[0], want[1], want[2], want[3]
	admin, support, analyst, marketing := sights[0], sights[1], sights[2], sights[3]
	t.check("the administrator sees what is stored", admin.hero, clear)
	t.check("support sees the name, the e-mail and the year of birth", support.hero, year)
	t.check("the analyst sees the decade of birth, the country and no name", without(analyst.hero, 2), []string{nothing, nothing, decade[3], decade[4]})
	token := analyst.hero[2]
	t.holds("the analyst sees a token in place of the e-mail", token != clear[2] && len(token) == 16 && !strings.Contains(token, "@"), "16 digits", token)
	t.check("marketing sees who agreed to the newsletter", marketing.hero, year)
	t.check("who did not agree is not there for marketing", marketing.stranger == nil, true)
	t.check("customers of another region are not there for support", support.stranger == nil, true)
	t.check("the numbers of customers are those of the rows that each may see", []string{admin.count, support.count, analyst.count, marketing.count}, counts)
	return t.wrongPassword(ctx)
}

// wrongPassword checks that what was seen took a login.
func (t *tour) wrongPassword(ctx context.Context) error {
	conn, err := pgconn.Connect(ctx, strings.Replace(t.connection("dora", ""), "dora-password", "guess", 1))
	if err != nil {
		t.holds("a wrong password does not log in", strings.Contains(err.Error(), "28P01"), "SQLSTATE 28P01", err.Error())
		return nil
	}
	t.fail("a wrong password does not log in", "an error", "a session")
	return conn.Close(ctx)
}

// without gives a row less one of its fields.
func without(row []string, i int) []string {
	return append(append([]string{}, row[:i]...), row[i+1:]...)
}

func (t *tour) equality(ctx context.Context) error {
	alice, err := t.as(ctx, "alice", "support")
	if err != nil {
		return err
	}
	stored, err := t.stored(ctx, "SELECT card, id, first_name, repeat('*', length(card) - 4) || right(card, 4) FROM crm.customers WHERE id = "+t.hero)
	if err != nil {
		return err
	}
	card := stored[0]
	found, err := t.show(ctx, alice, "SELECT id, first_name, card FROM crm.customers WHERE card = $1", card)
	if err != nil {
		return err
	}
	pieces, err := t.show(ctx, alice, "SELECT id FROM crm.customers WHERE card LIKE '"+card[:6]+"%'")
	if err != nil {
		return err
	}
	t.check("the whole number finds its owner", found.rows, [][]string{stored[1:]})
	t.check("the beginning of a number finds nobody", len(pieces.rows), 0)
	return nil
}

func (t *tour) waysAround(ctx context.Context) error {
	alice, err := t.as(ctx, "alice", "support")
	if err != nil {
		return err
	}
	hidden, err := t.stored(ctx, "SELECT card, ssn, birth_date FROM crm.customers WHERE id = "+t.hero)
	if err != nil {
		return err
	}
	var rows [][]cell
	var leaks, strange string // the ways on which something went wrong
	for _, way := range []struct{ about, sql string }{
		{"another name", "SELECT card AS harmless FROM crm.customers WHERE id = %s"},
		{"a function", "SELECT reverse(card) FROM crm.customers WHERE id = %s"},
		{"the row as JSON", "SELECT to_jsonb(c) ->> 'card', to_jsonb(c) ->> 'ssn' FROM crm.customers AS c WHERE id = %s"},
		{"one that fails if true", "SELECT 1 / (length(ssn) - 11) FROM crm.customers WHERE id = %s"},
		{"the order of rows", "SELECT id FROM crm.customers ORDER BY ssn LIMIT 1"},
		{"a column that is shown", "UPDATE crm.customers SET notes = ssn WHERE id = %s RETURNING notes"},
		{"statistics", "SELECT most_common_vals FROM pg_stats WHERE attname = 'ssn'"},
		{"SQL within SQL", "SELECT query_to_xml('SELECT ssn FROM crm.customers', true, false, '')"},
		{"a block of code", "DO $$ BEGIN RAISE NOTICE '%%', (SELECT ssn FROM crm.customers WHERE id = %s); END $$"},
		{"a table of one's own", "CREATE TEMP TABLE mine AS SELECT * FROM crm.customers"},
		{"another role", "SET ROLE dora"},
	} {
		sql := way.sql
		if strings.Contains(sql, "%s") {
			sql = fmt.Sprintf(sql, t.hero)
		}
		a, err := alice.ask(ctx, sql)
		if err != nil {
			return err
		}
		seen := cell{text: a.String()}
		if a.err != nil {
			seen = cell{a.err.Message, yellow}
			if !auditID.MatchString(a.err.Hint) {
				strange += way.about + "; "
			}
		}
		rows = append(rows, []cell{{way.about, plain}, {sql, cyan}, seen})
		leaks += discloses(way.about, a, hidden)
	}
	t.out.table([]string{"by way of", "sent", "came back"}, rows)
	t.check("every error is a refusal of pgveil's, with a record in the access log", strange, "")
	t.check("no answer holds the customer's card, national id or day of birth", leaks, "")
	return nil
}

// discloses names the way if anything of the answer holds a hidden value,
// forwards or backwards.
func discloses(way string, a answer, hidden []string) string {
	text := a.String()
	if a.err != nil {
		text += a.err.Detail + a.err.Hint + a.err.Where
	}
	for _, value := range hidden {
		if strings.Contains(text, value) || strings.Contains(text, backwards(value)) {
			return way + "; "
		}
	}
	return ""
}

func backwards(s string) string {
	var b strings.Builder
	for i := len(s) - 1; i >= 0; i-- {
		b.WriteByte(s[i]) // cards, numbers and dates are ASCII
	}
	return b.String()
}
