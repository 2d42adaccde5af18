package valkey

import (
	"context"
	"log/slog"
	"slices"
	"strconv"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/limits"
	"github.com/pgveil/pgveil/policy"
)

// mend writes back what this process knows to a server that has forgotten something,
// unless that was done since it had been so often. Whoever found it out has all
// others do the same, for what was theirs may be gone and not be missed, and until
// they have had time for that nothing is given.
func (l *Ledger) mend(ctx context.Context, mended int64, found bool) error {
	release, err := l.alone(ctx)
	if err != nil {
		return err
	}
	defer release()
	if l.mended.Load() != mended {
		return nil
	}
	ctx = context.WithoutCancel(ctx) // many others wait for it
	all := l.memo.all()
	for c, parts := range all {
		if err := l.writeBack(ctx, c, parts); err != nil {
			return err
		}
	}
	// Asks that were counted before may still be answered, with higher numbers.
	const ahead = 1 << 20
	args := []string{strconv.FormatInt(l.floor.Load()+ahead, 10), strconv.FormatInt(l.found.Load(), 10), "0"}
	if found {
		args[2] = strconv.FormatInt(l.grace.Milliseconds(), 10)
	}
	numbers, err := l.eval(ctx, l.finish, 1, []string{l.key(), foundKey, waitKey}, args)
	if err != nil {
		return err
	}
	if len(numbers) != 1 || numbers[0] < 0 || numbers[0] > exact {
		return errAnswer
	}
	l.found.Store(numbers[0])
	l.mended.Add(1)
	l.raise(alert.Event{
		Name: "limits_lost", Severity: alert.Critical, Details: []slog.Attr{slog.Int("counters", len(all))},
		Message: "the server of counters has forgotten what was counted; what this process knows was written back",
	})
	return nil
}

// alone waits until nobody else brings the server up to date.
func (l *Ledger) alone(ctx context.Context) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, l.o.Timeout)
	defer cancel()
	select {
	case l.mending <- struct{}{}:
		return func() { <-l.mending }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// atOnce is how many subjects are written back by one script, which nobody else
// gets an answer beside.
const atOnce = 5000

// writeBack makes sure that what is known of a counter counts.
func (l *Ledger) writeBack(ctx context.Context, c limits.Counter, parts []part) error {
	window, length := microseconds(c)
	kind := "n"
	if c.Of == policy.LimitSubjects {
		kind = "s"
	}
	key, head := []string{l.name(c)}, []string{l.process, strconv.FormatInt(window, 10), strconv.FormatInt(length, 10), kind}
	for _, p := range parts {
		slot := strconv.FormatInt(p.slot, 10)
		if kind == "n" {
			head = append(head, slot, strconv.FormatInt(p.amount, 10))
			continue
		}
		for ids := range slices.Chunk(p.subjects, atOnce) {
			if _, err := l.eval(ctx, l.restore, 1, key, append(slices.Clone(head), slot, join(ids))); err != nil {
				return err
			}
		}
	}
	if kind == "s" {
		return nil
	}
	_, err := l.eval(ctx, l.restore, 1, key, head)
	return err
}

// join puts subjects one behind the other.
func join(ids []limits.Subject) string {
	b := make([]byte, 0, len(ids)*len(limits.Subject{}))
	for i := range ids {
		b = append(b, ids[i][:]...)
	}
	return string(b)
}

// tell tells operators that the server went or came.
func (l *Ledger) tell(c change, why error) {
	switch {
	case c == came:
		l.raise(alert.Event{Name: "limits_reachable", Severity: alert.Notice, Message: "the server of counters answers again"})
	case c == went && l.o.Local:
		l.raise(alert.Event{
			Name: "limits_unreachable", Severity: alert.Critical, Details: []slog.Attr{slog.String("why", why.Error())},
			Message: "the server of counters does not answer: each process counts for itself, and limits hold for each alone",
		})
	case c == went:
		l.raise(alert.Event{
			Name: "limits_unreachable", Severity: alert.Critical, Details: []slog.Attr{slog.String("why", why.Error())},
			Message: "the server of counters does not answer: what has to be counted is refused",
		})
	}
}

func (l *Ledger) raise(e alert.Event) {
	e.Key, e.Details = l.o.Address, append(e.Details, slog.String("server", l.o.Address))
	l.o.Alerts.Raise(e)
}
