package valkey

import (
	"context"
	"sync"
	"time"

	"github.com/pgveil/pgveil/limits"
)

// local counts while the server is away, beginning with what this process has
// counted there. What it gives is owed to the server. The zero local is ready.
type local struct {
	mu     sync.Mutex
	memory *limits.Memory // nil: the server counts
	owed   map[limits.Counter]*debt
}

// debt is what the server does not know yet of one counter.
type debt struct {
	amount   int64
	subjects map[limits.Subject]bool
}

// where is who counted what is given back.
type where bool

const (
	onServer where = false
	locally  where = true
)

// counted leaves of some asks nothing to be given back but what was counted there.
// What was counted elsewhere stays counted. Slots of our own are below 0.
func counted(asks []limits.Ask, here where) []limits.Ask {
	kept := asks
	for i, a := range asks {
		if a.Amount < 0 && (a.Slot < 0) != bool(here) {
			if &kept[0] == &asks[0] {
				kept = append([]limits.Ask(nil), asks...)
			}
			kept[i].Amount = 0
		}
	}
	return kept
}

// ask counts here.
func (l *local) ask(ctx context.Context, m *memo, now func() time.Time, asks []limits.Ask) ([]limits.Answer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.memory == nil {
		if err := l.begin(ctx, m, now); err != nil {
			return nil, err
		}
	}
	ours := append([]limits.Ask(nil), counted(asks, locally)...)
	for i := range ours {
		ours[i].Slot = ^ours[i].Slot
	}
	answers, err := l.memory.Ask(ctx, ours)
	if err != nil {
		return nil, err
	}
	for i := range answers {
		answers[i].Slot = ^answers[i].Slot
		l.owe(ours[i].Counter, answers[i].Amount+min(ours[i].Amount, 0), ours[i].Subjects[:answers[i].Subjects])
	}
	return answers, nil
}

// begin takes over what this process has counted on the server, as if it were now.
func (l *local) begin(ctx context.Context, m *memo, now func() time.Time) error {
	var asks []limits.Ask
	for c, parts := range m.all() {
		for _, p := range parts {
			asks = append(asks, limits.Ask{Counter: c, Most: limits.NoLimit, Amount: p.amount, Subjects: p.subjects})
		}
	}
	l.memory, l.owed = limits.NewMemory(now), map[limits.Counter]*debt{}
	_, err := l.memory.Ask(ctx, asks)
	return err
}

func (l *local) owe(c limits.Counter, amount int64, subjects []limits.Subject) {
	if amount == 0 && len(subjects) == 0 {
		return
	}
	d := l.owed[c]
	if d == nil {
		d = &debt{subjects: map[limits.Subject]bool{}}
		l.owed[c] = d
	}
	d.amount += amount
	for _, id := range subjects {
		d.subjects[id] = true
	}
}

// debts gives what is owed, which is owed no more. Where nothing is, the server
// counts again.
func (l *local) debts() (asks []limits.Ask) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.owed) == 0 {
		l.memory = nil
		return nil
	}
	for c, d := range l.owed {
		a := limits.Ask{Counter: c, Most: limits.NoLimit, Amount: max(d.amount, 0)}
		for id := range d.subjects {
			a.Subjects = append(a.Subjects, id)
		}
		asks = append(asks, a)
	}
	l.owed = map[limits.Counter]*debt{}
	return asks
}

// still owes what could not be told.
func (l *local) still(asks []limits.Ask) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range asks {
		l.owe(a.Counter, a.Amount, a.Subjects)
	}
}

func (l *local) owes() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.memory != nil
}

// settle tells the server what was counted without it.
func (l *Ledger) settle(ctx context.Context) error {
	if !l.local.owes() {
		return nil
	}
	release, err := l.alone(ctx)
	if err != nil {
		return err
	}
	defer release()
	for {
		asks := l.local.debts()
		if len(asks) == 0 {
			return nil
		}
		if _, err := l.run(ctx, asks); err != nil {
			l.local.still(asks)
			return err
		}
	}
}
