package demo

import (
	"math/rand/v2"
	"time"
)

// now is the moment at which the demo's clock stands. The rows lie before it,
// so that they do not depend on the day on which they are made.
var now = time.Date(2026, time.November, 1, 12, 0, 0, 0, time.UTC)

// generator makes the tables in an order in which each may refer to those
// before it.
type generator struct {
	rand      *rand.Rand
	users     []person // index is id - 1
	companies []company
	customers []customer

	userRows, companyRows, customerRows, contactRows, opportunityRows,
	orderRows, lineRows, invoiceRows, ticketRows, activityRows, consentRows *sheet
}

// Generate makes the rows for as many customers: the tables in the order in
// which they can be loaded. Its result depends on its arguments alone.
func Generate(seed uint64, customers int) []Table {
	g := &generator{
		rand:            rand.New(rand.NewPCG(seed, uint64(customers))),
		userRows:        newSheet("users", "id login full_name email team manager_id hired_on salary active"),
		companyRows:     newSheet("companies", "id name vat_id industry country website employees annual_revenue tags owner_id created_at"),
		customerRows:    newSheet("customers", "id public_id first_name last_name email phone birth_date ssn card iban address city region country credit_limit vip preferences interests last_ip notes restricted owner_id created_at"),
		contactRows:     newSheet("contacts", "id company_id customer_id full_name job_title email mobile is_primary"),
		opportunityRows: newSheet("opportunities", "id company_id contact_id owner_id title stage amount probability closes_on"),
		orderRows:       newSheet("orders", "id customer_id region status placed_at total"),
		lineRows:        newSheet("order_lines", "order_id line_no sku quantity unit_price"),
		invoiceRows:     newSheet("invoices", "number order_id issued_on due_on amount paid_at billed_to iban"),
		ticketRows:      newSheet("tickets", "id customer_id assignee_id region priority confidential subject body opened_at closed_at"),
		activityRows:    newSheet("activities", "id user_id customer_id opportunity_id kind happened_at minutes summary client_ip details"),
		consentRows:     newSheet("consents", "customer_id purpose given_at withdrawn_at source"),
	}
	g.makeUsers()
	for range max(customers/10, 5) {
		g.makeCompany()
	}
	for range customers {
		g.makeCustomer()
	}
	for i := range g.companies {
		g.makeContacts(&g.companies[i])
	}
	for i := range g.customers {
		g.history(&g.customers[i])
	}
	return g.tables()
}

func (g *generator) tables() []Table {
	var tables []Table
	for _, s := range []*sheet{
		g.userRows, g.companyRows, g.customerRows, g.contactRows, g.opportunityRows,
		g.orderRows, g.lineRows, g.invoiceRows, g.ticketRows, g.activityRows, g.consentRows,
	} {
		tables = append(tables, s.table())
	}
	return tables
}

// history is all that a customer did.
func (g *generator) history(c *customer) {
	g.makeConsents(c)
	for range g.rand.IntN(6) {
		g.makeOrder(c)
	}
	for g.chance(40) {
		g.makeTicket(c)
	}
	for g.chance(60) {
		g.makeActivity(c)
	}
}

func pick[T any](g *generator, from []T) T { return from[g.rand.IntN(len(from))] }

// chance is true so many times in a hundred.
func (g *generator) chance(percent int) bool { return g.rand.IntN(100) < percent }

// orNull is the value so many times in a hundred, else null.
func (g *generator) orNull(percent int, v any) any {
	if g.chance(percent) {
		return v
	}
	return null{}
}

// known is the text, or null where there is none.
func known(s string) any {
	if s == "" {
		return null{}
	}
	return s
}

// between gives a moment after one and before now, to the second.
func (g *generator) between(after time.Time) time.Time {
	span := int64(now.Sub(after) / time.Second)
	return after.Add(time.Duration(g.rand.Int64N(max(span, 1))) * time.Second)
}

// later gives a moment within so many days after one, but not after now.
func (g *generator) later(after time.Time, days int) time.Time {
	at := after.Add(time.Duration(1+g.rand.IntN(days*24*60)) * time.Minute)
	if at.After(now) {
		return now
	}
	return at
}

func (g *generator) makeConsents(c *customer) {
	source := pick(g, []string{"web form", "web form", "phone", "paper"})
	if g.chance(55) {
		g.give(c, "newsletter", g.later(c.since, 30), source)
	}
	if g.chance(20) {
		g.give(c, "surveys", g.later(c.since, 30), source)
	}
}

// give records a consent. One in five is withdrawn, and some of those are
// given again.
func (g *generator) give(c *customer, purpose string, at time.Time, source string) {
	if !g.chance(20) {
		g.consentRows.add(c.id, purpose, at, null{}, source)
		return
	}
	withdrawn := g.later(at, 300)
	g.consentRows.add(c.id, purpose, at, withdrawn, source)
	if g.chance(25) && withdrawn.Before(now.AddDate(-1, 0, 0)) {
		g.give(c, purpose, g.later(withdrawn, 200), "web form")
	}
}
