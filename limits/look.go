package limits

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/pgveil/pgveil/policy"
)

// Look tells how limits stand.
func (b *Book) Look(ctx context.Context, all []Limit) ([]Reached, error) {
	asks := make([]Ask, len(all))
	for i, l := range all {
		asks[i] = Ask{Counter: l.Counter, Most: NoLimit}
	}
	answers, err := b.ledger.Ask(ctx, asks)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	found := make([]Reached, len(all))
	for i, a := range answers {
		used := a.Used
		if l := b.leases[all[i].Counter]; l != nil {
			l.used, l.again, l.asked = a.Used, a.Again, b.now()
			if l.slot == a.Slot {
				used -= l.left // leased, and not used
			}
		}
		found[i] = Reached{Limit: all[i], Used: used, Again: a.Again, Near: used < all[i].Most}
	}
	return found, nil
}

// overdraft is how often somebody may get to know something of people whom a limit
// leaves nothing for: less than it takes to know who one of them is.
const overdraft = 20

// Charge counts people of whom somebody has got to know something already. Where a
// limit leaves nothing for them time after time, it is exhausted from then on.
func (b *Book) Charge(ctx context.Context, t *Taking) (Verdict, error) {
	v, err := b.Take(ctx, t)
	if err != nil || v.Stopped == nil {
		return v, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if l := b.leases[v.Stopped.Limit.Counter]; l != nil {
		l.owed++
	}
	return v, nil
}

// Exhausted gives the first of some limits of which, as far as the book knows
// without asking, nothing is left. Limits of data subjects are among them only when
// more was got to know than they leave, too often: else who was counted already may be
// seen again.
func (b *Book) Exhausted(all []Limit) *Reached {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	for i := range all {
		l := b.leases[all[i].Counter]
		if l == nil {
			continue
		}
		if !l.again.IsZero() && !now.Before(l.again) {
			l.owed = 0
			continue
		}
		if l.owed > overdraft && l.used >= all[i].Most {
			return &Reached{Limit: all[i], Used: l.used, Again: l.again}
		}
		if all[i].Of == policy.LimitSubjects {
			continue
		}
		if l.used >= all[i].Most && (l.left == 0 || over(l.ends, now)) {
			l.out = true
			return &Reached{Limit: all[i], Used: l.used, Again: l.again}
		}
	}
	return nil
}

// Over gives those of some limits that are reached, as far as the book knows.
func (b *Book) Over(all []Limit) (over []Reached) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	for _, limit := range all {
		l := b.leases[limit.Counter]
		if l != nil && l.used >= limit.Most && (l.again.IsZero() || now.Before(l.again)) {
			over = append(over, Reached{Limit: limit, Used: l.used, Again: l.again})
		}
	}
	return over
}

// idle is how long a lease is kept that nobody uses.
const idle = 2 * time.Second

// Tidy gives back what was leased and not used lately, sees whether others did
// where nothing was left, forgets counters that nobody asks for, and has the ledger
// make sure of what it holds. It is called every second or so.
func (b *Book) Tidy(ctx context.Context) error {
	err := b.giveBack(ctx, func(l *lease, now time.Time) bool { return now.Sub(l.asked) >= idle })
	return errors.Join(err, b.ledger.Sync(ctx))
}

// Close gives back all that is leased, and closes the ledger.
func (b *Book) Close(ctx context.Context) error {
	err := b.giveBack(ctx, func(*lease, time.Time) bool { return true })
	if closeErr := b.ledger.Close(); err == nil {
		err = closeErr
	}
	return err
}

func (b *Book) giveBack(ctx context.Context, which func(*lease, time.Time) bool) error {
	b.mu.Lock()
	now := b.now()
	var asks []Ask
	for c, l := range b.leases {
		if l.left > 0 && which(l, now) || l.out {
			asks = append(asks, Ask{Counter: c, Most: NoLimit, Amount: -l.left, Slot: l.slot})
			l.left, l.out = 0, false
		}
	}
	maps.DeleteFunc(b.leases, func(c Counter, l *lease) bool {
		return l.left == 0 && l.ahead == 0 && c.Window > 0 && now.Sub(l.ends) > c.Window
	})
	maps.DeleteFunc(b.told, func(k threshold, _ bool) bool { return b.leases[k.limit.Counter] == nil })
	b.mu.Unlock()
	if len(asks) == 0 {
		return nil
	}
	answers, err := b.ledger.Ask(ctx, asks)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, a := range answers {
		if l := b.leases[asks[i].Counter]; l != nil {
			l.used, l.again = a.Used, a.Again
		}
	}
	return nil
}
