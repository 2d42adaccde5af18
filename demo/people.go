package demo

import (
	"fmt"
	"strings"
	"time"
)

// person is somebody who works here.
type person struct {
	id          int
	name, login string
	team        string
}

// customer is what later tables tell about a customer.
type customer struct {
	id          int
	place       *place
	first, last string
	email       string
	phone       string
	card, iban  string // "" where there is none
	ssn         string
	since       time.Time
}

func (c *customer) name() string { return c.first + " " + c.last }

// named are the users whom the policy knows, with their managers' ids. Those
// after them are made up.
var named = []struct {
	login, name, team string
	manager           int
}{
	{"helen", "Helen Ward", "management", 0},
	{"omar", "Omar Haddad", "sales", 1},
	{"sam", "Samuel Ortiz", "sales", 2},
	{"ruth", "Ruth Adler", "support", 1},
	{"alice", "Alice Moreau", "support", 4},
	{"bob", "Bob Fraser", "support", 4},
	{"ana", "Ana Petrova", "analytics", 1},
	{"max", "Max Brandt", "marketing", 1},
	{"bea", "Beatrix Holm", "billing", 1},
	{"petra", "Petra Svoboda", "privacy", 1},
}

const userCount = 40

func (g *generator) makeUsers() {
	for i, n := range named {
		var manager any = null{}
		if n.manager > 0 {
			manager = n.manager
		}
		g.addUser(person{i + 1, n.name, n.login, n.team}, manager)
	}
	for id := len(named) + 1; id <= userCount; id++ {
		p := &places[g.rand.IntN(len(places))]
		first, last := pick(g, p.first), pick(g, p.last)
		boss := pick(g, []int{2, 4}) // of sales and of support
		login := fmt.Sprintf("%s%d", strings.ToLower(ascii.Replace(first)), id)
		g.addUser(person{id, first + " " + last, login, g.users[boss-1].team}, boss)
	}
}

func (g *generator) addUser(p person, manager any) {
	g.users = append(g.users, p)
	hired := now.AddDate(0, 0, -100-g.rand.IntN(4000))
	salary := cents(3_200_000 + 5_000*g.rand.IntN(900))
	g.userRows.add(p.id, p.login, p.name, p.login+"@crm.example", p.team, manager, day(hired), salary, p.id <= len(named) || g.chance(92))
}

// staff picks somebody of a team.
func (g *generator) staff(team string) *person {
	for {
		if p := &g.users[g.rand.IntN(len(g.users))]; p.team == team {
			return p
		}
	}
}

func (g *generator) makeCustomer() {
	p := g.home()
	born := time.Date(1940+g.rand.IntN(67), time.Month(1+g.rand.IntN(12)), 1+g.rand.IntN(28), 0, 0, 0, 0, time.UTC)
	c := customer{
		id:    len(g.customers) + 1,
		place: p,
		first: pick(g, p.first),
		last:  pick(g, p.last),
		phone: fmt.Sprintf(p.phone, g.rand.IntN(10000)),
		ssn:   fmt.Sprintf(p.ssn, born.Year()%100, int(born.Month()), born.Day(), g.rand.IntN(1000)),
		since: g.between(now.AddDate(-5, 0, 0)),
	}
	c.email = fmt.Sprintf("%s%d@%s", mailName(c.first, c.last), c.id, p.domain)
	if g.chance(70) {
		c.card = g.card()
	}
	if p.iban != "" && g.chance(40) {
		c.iban = iban(p.country, fmt.Sprintf(p.iban, g.rand.IntN(100_000_000)))
	}
	g.customers = append(g.customers, c)
	g.customerRows.add(c.id, g.uuid(), c.first, c.last, c.email, g.orNull(90, c.phone), g.orNull(85, day(born)),
		g.orNull(35, c.ssn), known(c.card), known(c.iban), g.orNull(80, g.postalAddress(p)), pick(g, p.cities), p.region, p.country,
		cents(100_00*g.rand.IntN(120)), g.chance(5), g.preferences(), g.interests(), g.orNull(75, g.address()),
		g.orNull(45, g.note(&c)), g.chance(1), g.orNull(80, g.staff("sales").id), c.since)
}

// home picks where a customer lives: the first places have the most.
func (g *generator) home() *place {
	n := len(places)
	return &places[min(g.rand.IntN(n), g.rand.IntN(n))]
}

// postalAddress spells the row of crm.postal_address.
func (g *generator) postalAddress(p *place) string {
	return fmt.Sprintf(`("%s","%s","%s")`,
		fmt.Sprintf(p.street, 1+g.rand.IntN(180)), fmt.Sprintf(p.postcode, g.rand.IntN(1000)), pick(g, p.cities))
}

func (g *generator) preferences() string {
	return fmt.Sprintf(`{"channel": %q, "size": %q, "newsletter": %q}`,
		pick(g, []string{"phone", "email", "post", "sms"}),
		pick(g, []string{"S", "M", "L", "XL"}),
		pick(g, []string{"daily", "weekly", "never"}))
}

var interests = []string{"sailing", "wine", "cycling", "theatre", "chess", "running", "tea", "coffee", "music", "gardening"}

func (g *generator) interests() string {
	from := g.rand.IntN(len(interests))
	to := min(from+g.rand.IntN(3), len(interests))
	return "{" + strings.Join(interests[from:to], ",") + "}"
}
