package pgtest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
)

// protection is what a fixture's policy hides of one table. All that it does
// not name is open: equal in the fixture and in its twin.
type protection struct {
	key    string // an expression that identifies a row
	hidden string // a condition: rows that nobody restricted sees
	cols   map[string]form
}

// form says how far a protected column may differ in the twin.
type form struct {
	shown string // an expression that must be equal: at least what the masks show
	open  string // a condition: rows in which somebody sees the column, so that it must be equal
	equal string // why the column is equal in all rows; "" when it must differ in each
}

const (
	consented = "id IN (SELECT customer_id FROM %sconsents WHERE purpose = 'newsletter' AND withdrawn_at IS NULL)"
	mail      = "left(%[1]s, 1) || length(%[1]s) || split_part(%[1]s, '@', 2)"
	phone     = `regexp_replace(%[1]s, '\d', '0', 'g') || left(%[1]s, 5) || right(%[1]s, 4)`
	initials  = `regexp_replace(%[1]s, '([^ ''-])[^ ''-]*', '\1', 'g') || length(%[1]s)`
	card      = "left(%[1]s, %[2]d) || right(%[1]s, 4) || length(%[1]s)"
	account   = "left(%[1]s, 4) || right(%[1]s, 4) || length(%[1]s)"
	network   = "set_masklen(%[1]s::cidr, CASE family(%[1]s) WHEN 4 THEN 24 ELSE 48 END)"
	// A band of ages depends on the day on which it is asked for: the twins are
	// born in one month of a year that begins no band soon.
	month    = "date_trunc('month', %[1]s)::date || ' ' || date_part('year', age(%[1]s))::int / 10"
	credit   = "round(%[1]s / 100) || ' ' || floor(%[1]s / 5000)"
	nullness = "%[1]s IS NULL"
	// What scrubbing takes out of a text, taken out roughly.
	scrubbed = `regexp_replace(regexp_replace(%[1]s, '[\w.]+@[\w.]+', '@', 'g'), '[+A-Z]{0,2}\d[\d ]{7,}\d', '#', 'g') || length(%[1]s)`
	seen     = "somebody sees it"
	digested = "somebody sees a digest of it"
)

func expr(format string, args ...any) string { return fmt.Sprintf(format, args...) }

var protections = map[string]map[string]protection{
	"shop": {
		"countries":   {key: "code"},
		"orders":      {key: "id"},
		"order_items": {key: "(order_id, line_no)"},
		"consents":    {key: "(customer_id, purpose)"},
		"tickets":     {key: "id", hidden: "confidential", cols: map[string]form{"body": {shown: expr(scrubbed, "body")}}},
		"customers": {key: "id", hidden: "restricted", cols: map[string]form{
			"first_name":   {equal: seen},
			"loyalty_no":   {equal: digested},
			"device_id":    {equal: digested},
			"last_name":    {shown: expr(initials, "last_name")},
			"email":        {shown: expr(mail, "email"), open: expr(consented, "")},
			"phone":        {shown: expr(phone, "phone")},
			"card":         {shown: expr(card, "card", 0)},
			"birth_date":   {shown: expr(month, "birth_date")},
			"ssn":          {shown: expr(nullness, "ssn")},
			"last_ip":      {shown: expr(network, "last_ip")},
			"postcode":     {shown: "left(postcode, 2) || length(postcode)"},
			"credit_limit": {shown: expr(credit, "credit_limit")},
			"notes":        {shown: expr(nullness, "notes")},
		}},
	},
	"crm": {
		"crm.orders":        {key: "id"},
		"crm.order_lines":   {key: "(order_id, line_no)"},
		"crm.consents":      {key: "(customer_id, purpose, given_at)"},
		"crm.opportunities": {key: "id", cols: map[string]form{"amount": {equal: seen}}},
		"crm.users": {key: "id", cols: map[string]form{
			"full_name": {equal: seen},
			"email":     {shown: expr(mail, "email")},
			"salary":    {shown: "floor(salary / 10000)"},
		}},
		"crm.companies": {key: "id", cols: map[string]form{
			"vat_id":         {shown: "substr(vat_id, 5, length(vat_id) - 6) || length(vat_id)"},
			"annual_revenue": {shown: "floor(annual_revenue / 1000000)"},
		}},
		"crm.contacts": {key: "id", cols: map[string]form{
			"full_name": {equal: seen},
			"email":     {equal: seen},
			"mobile":    {shown: expr(phone, "mobile")},
		}},
		"crm.invoices": {key: "number", cols: map[string]form{
			"billed_to": {shown: expr(initials, "billed_to")},
			"iban":      {shown: expr(account, "iban")},
		}},
		"crm.tickets": {key: "id", hidden: "confidential", cols: map[string]form{"body": {shown: expr(scrubbed, "body")}}},
		"crm.activities": {key: "id", cols: map[string]form{
			"summary":   {shown: expr(scrubbed, "summary")},
			"client_ip": {shown: expr(network, "client_ip")},
			"details":   {shown: expr(nullness, "details")},
		}},
		"crm.customers": {key: "id", hidden: "restricted", cols: map[string]form{
			"first_name":   {equal: seen},
			"public_id":    {equal: digested},
			"last_name":    {shown: expr(initials, "last_name")},
			"email":        {shown: expr(mail, "email"), open: expr(consented, "crm.")},
			"phone":        {shown: expr(phone, "phone")},
			"birth_date":   {shown: expr(month, "birth_date")},
			"ssn":          {shown: expr(nullness, "ssn")},
			"card":         {shown: expr(card, "card", 6)},
			"iban":         {shown: expr(account, "iban")},
			"address":      {shown: expr(nullness, "address")},
			"credit_limit": {shown: expr(credit, "credit_limit")},
			"preferences":  {shown: expr(nullness, "preferences")},
			"last_ip":      {shown: expr(network, "last_ip")},
			"notes":        {shown: expr(scrubbed, "notes")},
		}},
	},
}

// mayRepeat are texts that are free of identifiers in some rows, where
// scrubbing shows them whole and the twin has them too.
var mayRepeat = []string{"shop.tickets.body", "crm.tickets.body", "crm.activities.summary", "crm.customers.notes"}

func TestTwins(t *testing.T) {
	for fixture, tables := range protections {
		t.Run(fixture, func(t *testing.T) {
			t.Parallel()
			s := pgtest.Server(t)
			conn := pgtest.Connect(t, s.DSN(pgtest.Database(t, fixture), pgserver.Superuser))
			twin := pgtest.Connect(t, s.DSN(pgtest.Database(t, fixture+"/twin"), pgserver.Superuser))
			if got, want := tablesOf(t, conn), len(tables); got != want {
				t.Errorf("the fixture has %d tables, this test knows %d", got, want)
			}
			for name, p := range tables {
				t.Run(name, func(t *testing.T) { p.check(t, conn, twin, fixture, name) })
			}
		})
	}
}

func (p protection) check(t *testing.T, conn, twin *pgx.Conn, fixture, table string) {
	if p.hidden == "" {
		p.hidden = "false"
	}
	columns := columnsOf(t, conn, table)
	for name := range p.cols {
		if !slices.Contains(columns, name) {
			t.Errorf("no column %s", name)
		}
	}
	// In physical order: a statement without ORDER BY must not tell either.
	same(t, conn, twin, "keys", fmt.Sprintf("SELECT (%s)::text FROM %s", p.key, table))
	for _, column := range columns {
		f, protected := p.cols[column]
		if !protected || f.equal != "" {
			same(t, conn, twin, column, p.values(column, table, "NOT "+p.hidden))
			continue
		}
		if f.open == "" {
			f.open = "false"
		}
		same(t, conn, twin, "what is shown of "+column, p.values(f.shown, table, "NOT "+p.hidden))
		same(t, conn, twin, column+" where it is open", p.values(column, table, "NOT "+p.hidden+" AND "+f.open))
		everyRow := !slices.Contains(mayRepeat, strings.TrimPrefix(fixture+".", "crm.")+table+"."+column)
		differ(t, conn, twin, column, p.values(column, table, "NOT ("+f.open+")"), everyRow)
	}
}

// values is a query for an expression, null where it is, in order of the key.
func (p protection) values(expression, table, where string) string {
	return fmt.Sprintf("SELECT (%s)::text FROM %s WHERE %s ORDER BY %s", expression, table, where, p.key)
}

func same(t *testing.T, conn, twin *pgx.Conn, what, sql string) {
	t.Helper()
	if ours, theirs := texts(t, conn, sql), texts(t, twin, sql); !slices.Equal(ours, theirs) {
		t.Errorf("%s: %q in the fixture, %q in the twin", what, ours, theirs)
	}
}

// differ wants another value in every row that has one or, for texts in which
// there may be nothing to hide, in some row.
func differ(t *testing.T, conn, twin *pgx.Conn, what, sql string, everyRow bool) {
	t.Helper()
	ours, theirs := texts(t, conn, sql), texts(t, twin, sql)
	differs := 0
	for i := range min(len(ours), len(theirs)) {
		switch {
		case ours[i] != theirs[i]:
			differs++
		case everyRow && ours[i] != null:
			t.Errorf("%s is %q in both", what, ours[i])
		}
	}
	if differs == 0 {
		t.Errorf("%s differs nowhere", what)
	}
}

const null = "null"

func texts(t *testing.T, conn *pgx.Conn, sql string) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), "SELECT coalesce(v, $1) FROM ("+sql+") AS q (v)", null)
	if err != nil {
		t.Fatal(err)
	}
	values, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return values
}

func tablesOf(t *testing.T, conn *pgx.Conn) int {
	t.Helper()
	return len(texts(t, conn, "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace IN ('public'::regnamespace, to_regnamespace('crm'))"))
}

func columnsOf(t *testing.T, conn *pgx.Conn, table string) []string {
	t.Helper()
	return texts(t, conn, fmt.Sprintf("SELECT attname::text FROM pg_attribute WHERE attrelid = '%s'::regclass AND attnum > 0 AND NOT attisdropped", table))
}

func TestGeneratedKeysFollow(t *testing.T) {
	for _, fixture := range []string{"shop", "shop/twin", "crm", "crm/twin"} {
		t.Run(fixture, func(t *testing.T) {
			conn := pgtest.Connect(t, pgtest.Server(t).DSN(pgtest.Database(t, fixture), pgserver.Superuser))
			for _, sequence := range texts(t, conn, "SELECT format('%I.%I', schemaname, sequencename) FROM pg_sequences") {
				table := strings.TrimSuffix(sequence, "_id_seq")
				got := texts(t, conn, fmt.Sprintf("SELECT (nextval('%s') - max(id))::text FROM %s", sequence, table))
				if !slices.Equal(got, []string{"1"}) {
					t.Errorf("the next key of %s lies %v after the last", table, got)
				}
			}
		})
	}
}

// Every login may do everything to the tables, and only dora more: whatever a
// restricted caller is refused, pgveil refuses.
func TestLogins(t *testing.T) {
	s := pgtest.Server(t)
	for _, tt := range []struct{ fixture, table string }{{"shop", "customers"}, {"crm", "crm.customers"}} {
		database := pgtest.Database(t, tt.fixture)
		for _, login := range []string{"alice", "bob", "sam", "ana", "max", "bea", "otto", "petra", "dora", "crm_app"} {
			t.Run(tt.fixture+"/"+login, func(t *testing.T) {
				conn := pgtest.Connect(t, s.HostDSN(database, login, login+"-password"))
				super := texts(t, conn, "SELECT rolsuper::text FROM pg_roles WHERE rolname = current_user")
				if want := fmt.Sprint(login == "dora"); super[0] != want {
					t.Errorf("superuser is %s, want %s", super[0], want)
				}
				sql := fmt.Sprintf("SELECT has_table_privilege('%s', p)::text FROM unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES}'::text[]) AS p", tt.table)
				if slices.Contains(texts(t, conn, sql), "false") {
					t.Errorf("%s lacks a right on %s", login, tt.table)
				}
			})
		}
	}
}
