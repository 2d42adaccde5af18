package demo

import (
	"fmt"
	"strings"
	"time"
)

// The texts below are what makes free text dangerous: people write into it
// what has columns of its own. In them, {phone}, {email}, {card}, {iban} and
// {ssn} are the customer's, {other} is a telephone number of somebody else.

var notes = []string{
	"Prefers calls on {phone} after six.",
	"Wants to be written to at {email} only.",
	"Gold member; always check the discount.",
	"Husband calls on her behalf, his number is {other}.",
	"Paid twice in May from {iban}; refunded.",
	"Asked us to forget the card {card}, still in the old till.",
	"Vegetarian; allergic to nuts. No gift hampers.",
	"Lost his job in spring: be lenient with reminders.",
	"Identified himself with {ssn} on the phone.",
	"Speaks softly; hearing aid. Write rather than call.",
}

var openings = []struct{ subject, text string }{
	{"Where is my order?", "It has been three weeks and nothing has come. You can reach me on {phone}."},
	{"Refund has not arrived", "The return went back on Monday. The refund should go to card {card}, please."},
	{"Charged twice", "My card {card} was charged twice. My statement shows both on the same day."},
	{"Change of bank account", "My new account is {iban}, valid from next month."},
	{"Copy of the invoice", "Please send a copy of the last invoice to {email}."},
	{"Wrong size", "The shoes are two sizes too small. Call {other}, that is my office."},
	{"Delete my account", "I no longer use it. The address is {email}. Please confirm in writing."},
	{"Cannot log in", "The code goes to my old phone. The new one is {phone}."},
	{"Handle came loose", "The handle of the bag came loose on the first day. Photos are attached."},
	{"Somebody used my name", "A parcel came that I did not order. My number is {ssn} if you must check."},
}

var replies = []string{
	"Thank you for writing. I have looked it up and will come back to you today.",
	"I am sorry to hear that. May I call you on {phone}?",
	"Done. You will get a confirmation at {email}.",
	"For your safety, please do not send card numbers by mail.",
}

var answers = []string{
	"Yes, after five is best.",
	"Still nothing. This is the second time I am writing.",
	"Thanks, that was quick!",
	"Use {other} instead, I am travelling.",
	"I would rather have it in writing at {email}.",
}

var summaries = []string{
	"Asked about delivery times.",
	"Call back on {phone}.",
	"Offer sent to {email}.",
	"Not reached; left a message with {other}.",
	"Confirmed the new account {iban}.",
}

// fill puts a customer's own details in the place of their names in braces.
func (g *generator) fill(text string, c *customer) string {
	account := c.iban
	if account == "" {
		account = iban("DE", fmt.Sprintf("50010517%010d", g.rand.IntN(100_000_000)))
	}
	card := c.card
	if card == "" {
		card = g.card()
	}
	return strings.NewReplacer(
		"{phone}", c.phone, "{email}", c.email, "{card}", card, "{iban}", account, "{ssn}", c.ssn,
		"{other}", fmt.Sprintf(c.place.phone, g.rand.IntN(10000)),
	).Replace(text)
}

func (g *generator) note(c *customer) string { return g.fill(pick(g, notes), c) }

// makeTicket makes a conversation between a customer and who is in charge.
func (g *generator) makeTicket(c *customer) {
	topic, agent, opened := pick(g, openings), g.staff("support"), g.between(c.since)
	said := []string{c.first + ": " + topic.text}
	for range g.rand.IntN(3) {
		said = append(said, agent.name+": "+pick(g, replies), c.first+": "+pick(g, answers))
	}
	closed := any(null{})
	if g.chance(80) || opened.Before(now.AddDate(0, -3, 0)) {
		closed = g.later(opened, 30)
	}
	priority := pick(g, []string{"low", "normal", "normal", "normal", "high", "urgent"})
	g.ticketRows.add(g.ticketRows.next(), c.id, g.orNull(90, agent.id), c.place.region, priority, g.chance(2),
		topic.subject, g.fill(strings.Join(said, "\n"), c), opened, closed)
}

// makeActivity makes a call, a mail, a visit or a login of a customer, or, now
// and then, of a company to which something is being sold.
func (g *generator) makeActivity(c *customer) {
	at, kind := g.between(c.since), pick(g, []string{"call", "email", "visit", "login", "login"})
	id, user := g.activityRows.next(), g.staff(pick(g, []string{"sales", "support"}))
	if deals := g.opportunityRows.count; deals > 0 && g.chance(10) {
		g.activityRows.add(id, user.id, null{}, 1+g.rand.IntN(deals), "call", at, 5+g.rand.IntN(60), "Talked about the offer.", null{}, "{}")
		return
	}
	if kind == "login" {
		g.addLogin(id, user.id, c, at)
		return
	}
	g.activityRows.add(id, user.id, c.id, null{}, kind, at, g.orNull(70, 1+g.rand.IntN(45)), g.fill(pick(g, summaries), c), null{}, "{}")
}

func (g *generator) addLogin(id, user int, c *customer, at time.Time) {
	agent := fmt.Sprintf(`{"agent": %q}`, pick(g, []string{"Firefox", "Safari", "Chrome", "App 4.2"}))
	g.activityRows.add(id, user, c.id, null{}, "login", at, null{}, null{}, g.address(), agent)
}
