package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// outcome is what one evasion came to.
type outcome struct {
	evasion  evasion
	direct   bool
	obtained int
	answers  map[string]int
	said     map[string]string
	took     time.Duration
	failed   error // what kept it from being tried
	after    error // what does not work any more for who tried it
}

// patience is how long an evasion may take.
const patience = 3 * time.Minute

// try tries an evasion as a login.
func (e evasion) try(ctx context.Context, a *arrangement, login string) *outcome {
	t := &thief{at: a, login: login, view: e.view, haul: newHaul(a.stage.crowd), answers: map[string]int{}, said: map[string]string{}}
	defer t.hangUp(ctx)
	o := &outcome{evasion: e, direct: a.name == direct, answers: t.answers, said: t.said}
	if o.failed = t.greet(ctx); o.failed != nil {
		return o
	}
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	o.failed = e.take(limited, t)
	o.took, o.obtained = time.Since(began), t.haul.size()
	if e.writes {
		o.failed = firstError(o.failed, a.stage.exec(ctx, a.database, restore))
	}
	if o.failed == nil {
		o.after = t.ordinary(ctx)
	}
	return o
}

func firstError(errs ...error) error {
	i := slices.IndexFunc(errs, func(err error) bool { return err != nil })
	if i < 0 {
		return nil
	}
	return errs[i]
}

func (o *outcome) ratio() float64 { return float64(o.obtained) / allowed }

// wrong tells what must not be.
func (o *outcome) wrong() error {
	switch {
	case o.failed != nil:
		return o.failed
	case o.direct && o.obtained <= allowed && !o.evasion.closed:
		return fmt.Errorf("it gets %d customers from the server itself, and so would show nothing: %v", o.obtained, o.answers)
	case o.direct:
		return nil
	case o.obtained > allowed:
		return fmt.Errorf("%d customers were taken, of %d", o.obtained, allowed)
	case o.after != nil && !o.spent():
		return fmt.Errorf("afterwards: %w", o.after)
	}
	return nil
}

// spent tells whether nothing is answered afterwards, as it asked too much for that.
func (o *outcome) spent() bool {
	var e *pgconn.PgError
	return o.evasion.spends && errors.As(o.after, &e) && e.Code == "53400"
}

const head = "evasion                                                 obtained  allowed  ratio  after  s    answers"

func (o *outcome) String() string {
	after := "works"
	switch {
	case o.spent():
		after = "spent"
	case o.after != nil:
		after = "FAILS"
	}
	var answers []string
	for _, how := range slices.Sorted(maps.Keys(o.answers)) {
		answers = append(answers, fmt.Sprintf("%d %s", o.answers[how], how))
	}
	line := fmt.Sprintf("%-54s %9d %8d %6.2f  %-5s %5.1f  %s", o.evasion.name, o.obtained, allowed, o.ratio(), after, o.took.Seconds(), strings.Join(answers, ", "))
	if o.failed != nil {
		line += " " + o.failed.Error()
	}
	return line
}

// explain says what clients were told.
func (o *outcome) explain(w io.Writer) {
	for _, how := range slices.Sorted(maps.Keys(o.said)) {
		fmt.Fprintf(w, "    %s\n", o.said[how])
	}
}
