package demo

import (
	"fmt"
	"strings"
	"time"
)

// company is what later tables tell about a company.
type company struct {
	id     int
	place  *place
	domain string
}

var (
	companyKinds = []struct{ industry, suffix string }{
		{"logistics", "Logistik"}, {"food", "Foods"}, {"engineering", "Robotics"}, {"energy", "Energi"},
		{"retail", "& Sons"}, {"health", "Diagnostics"}, {"design", "Atelier"}, {"agriculture", "Farms"},
	}
	companyNames = []string{
		"Hansewerk", "Blue Mesa", "Kiwa", "Nordlys", "Tallow", "Helix", "Lumière", "Quinta", "Baltic", "Sonora",
		"Ardenne", "Fjordlund", "Kestrel", "Marigold", "Ostrava", "Pemberton", "Saffron", "Tamarack", "Umbria", "Wexford",
	}
	jobTitles = []string{"Head of purchasing", "Chief financial officer", "Founder", "Operations", "Counsel", "Office manager"}
	deals     = []string{"Fleet telematics", "Cold chain sensors", "Contract renewal", "Spare parts frame", "Shop tills", "Lighting study"}
)

func (g *generator) makeCompany() {
	kind, name := pick(g, companyKinds), pick(g, companyNames)
	c := company{id: len(g.companies) + 1, place: g.home()}
	c.domain = fmt.Sprintf("%s%d.example", strings.ToLower(ascii.Replace(name)), c.id)
	g.companies = append(g.companies, c)
	tags := "{" + strings.Join([]string{kind.industry, pick(g, []string{"small", "prospect", "key account"})}, ",") + "}"
	g.companyRows.add(c.id, name+" "+kind.suffix, fmt.Sprintf("%s%09d", c.place.country, 100_000_000+c.id*7919), kind.industry,
		c.place.country, g.orNull(90, "https://"+c.domain), g.orNull(85, 3+g.rand.IntN(2500)),
		g.orNull(80, cents(100_000_00+1_000_00*g.rand.IntN(90_000))), tags, g.orNull(90, g.staff("sales").id), g.between(now.AddDate(-6, 0, 0)))
}

// makeContacts makes a company's contacts, some of whom are customers as well,
// and what is being sold to it.
func (g *generator) makeContacts(c *company) {
	first := g.contactRows.next()
	for i := range 1 + g.rand.IntN(4) {
		name, known := pick(g, c.place.first)+" "+pick(g, c.place.last), any(null{})
		if len(g.customers) > 0 && g.chance(15) {
			who := pick(g, g.customers)
			name, known = who.name(), who.id
		}
		mail := fmt.Sprintf("%s@%s", strings.ToLower(ascii.Replace(name)), c.domain)
		g.contactRows.add(g.contactRows.next(), c.id, known, name, pick(g, jobTitles), mail,
			g.orNull(80, fmt.Sprintf(c.place.phone, g.rand.IntN(10000))), i == 0)
	}
	for range g.rand.IntN(4) {
		g.makeOpportunity(c, first+g.rand.IntN(g.contactRows.next()-first))
	}
}

func (g *generator) makeOpportunity(c *company, contact int) {
	stage := pick(g, []string{"lead", "qualified", "proposal", "won", "lost"})
	probability := map[string]int{"lead": 10, "qualified": 35, "proposal": 60, "won": 100, "lost": 0}[stage]
	closes := now.AddDate(0, 0, 10+g.rand.IntN(300))
	if stage == "won" || stage == "lost" {
		closes = now.AddDate(0, 0, -10-g.rand.IntN(300))
	}
	g.opportunityRows.add(g.opportunityRows.next(), c.id, contact, g.staff("sales").id, pick(g, deals), stage,
		cents(1_000_00+500_00*g.rand.IntN(600)), probability, day(closes))
}

var goods = []struct {
	sku   string
	price cents
}{
	{"BAG-010", 30_00}, {"BAG-011", 59_00}, {"BAT-015", 45_25}, {"CUP-001", 12_30}, {"DIV-050", 25_75}, {"DSK-900", 1249_00},
	{"GRN-020", 27_00}, {"HDL-200", 124_50}, {"LMP-300", 80_00}, {"POT-004", 39_00}, {"RUN-120", 205_00}, {"TEA-777", 98_00},
}

func (g *generator) makeOrder(c *customer) {
	id, placed := g.orderRows.next(), g.between(c.since)
	var total cents
	for line := range 1 + g.rand.IntN(4) {
		item, quantity := pick(g, goods), 1+g.rand.IntN(3)
		g.lineRows.add(id, line+1, item.sku, quantity, item.price)
		total += item.price * cents(quantity)
	}
	status := pick(g, []string{"new", "paid", "shipped", "shipped", "shipped", "returned"})
	g.orderRows.add(id, c.id, c.place.region, status, placed, total)
	if status != "new" {
		g.makeInvoice(c, id, placed, total)
	}
}

func (g *generator) makeInvoice(c *customer, order int, placed time.Time, total cents) {
	number := fmt.Sprintf("%d-%06d", placed.Year(), g.invoiceRows.next())
	paid := any(null{})
	if g.chance(85) {
		paid = g.later(placed, 40)
	}
	g.invoiceRows.add(number, order, day(placed), day(placed.AddDate(0, 0, 30)), total, paid, c.name(), known(c.iban))
}
