package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/state"
)

// quarantineVerbs are what "pgveil quarantine" does.
func quarantineVerbs() []verb {
	return []verb{
		{"add", "keep a user, a login or an address out", runQuarantineAdd},
		{"list", "list who is kept out, and who was", runQuarantineList},
		{"release", "let them in again", runQuarantineRelease},
	}
}

func runQuarantine(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, quarantineUsage())
		return 2
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		fmt.Fprint(stdout, quarantineUsage())
		return 0
	}
	for _, v := range quarantineVerbs() {
		if v.name == args[0] {
			return v.run(ctx, args[1:], stdout, stderr)
		}
	}
	fmt.Fprintf(stderr, "pgveil quarantine: unknown verb %q\n%s", args[0], quarantineUsage())
	return 2
}

func quarantineUsage() string {
	var b strings.Builder
	b.WriteString("Usage: pgveil quarantine <verb> [flags]\n\nKeeps users out of every pgveil in front of the database, by its tables there.\n\n")
	for _, v := range quarantineVerbs() {
		fmt.Fprintf(&b, "  %-9s %s\n", v.name, v.about)
	}
	b.WriteString("\nExamples:\n  pgveil quarantine add alice --for 24h --because 'ticket 4711'\n  pgveil quarantine release alice\n\n\"pgveil quarantine <verb> --help\" lists the flags of a verb.\n")
	return b.String()
}

// containing is one call of "pgveil quarantine".
type containing struct {
	path    string
	login   bool
	address bool
	reason  string
	lasts   time.Duration
	cmd     privacy.Command
}

// flags are those of add and release.
func (q *containing) flags(c *command) {
	c.flags.StringVar(&q.path, "config", "pgveil.yaml", "the `file` that serve is started with")
	c.flags.BoolVar(&q.login, "login", false, "whoever comes by a login of that name")
	c.flags.BoolVar(&q.address, "address", false, "whoever comes from that address or network")
	c.flags.StringVar(&q.reason, "because", "", "why; `text`")
}

// asked reads what a call asks for as the command that it is.
func (q *containing) asked(verb privacy.Verb, args []string) error {
	if len(args) != 1 || q.login && q.address {
		return errors.New("give one name, and --login or --address or neither")
	}
	q.cmd = privacy.Command{Verb: verb, Whom: privacy.Whom{Who: policy.TargetUser, Name: args[0]}, Because: q.reason, For: q.lasts}
	switch {
	case q.login:
		q.cmd.Whom.Who = policy.TargetLogin
	case q.address:
		q.cmd.Whom.Who = policy.TargetAddress
		name, ok := proxy.Network(args[0])
		if !ok {
			return fmt.Errorf("%q is not an address or network", args[0])
		}
		q.cmd.Whom.Name = name
	}
	return q.cmd.Contained()
}

func runQuarantineAdd(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("quarantine add", "NAME", `Ends all sessions of a user, and lets them in no more, until the time is over or
they are released. Every pgveil in front of the database keeps to it within a
second, and has it in its access log; of those that cannot read the database,
none knows of it. Whoever may contain users does the same with PRIVACY
QUARANTINE.`,
		"pgveil quarantine add alice --for 24h --because 'ticket 4711'",
		"pgveil quarantine add crm_app --login --because 'its password is known'",
		"pgveil quarantine add 203.0.113.0/24 --address --for 1h --because 'guessing'")
	q := &containing{}
	q.flags(c)
	c.flags.DurationVar(&q.lasts, "for", 0, "how long; without it, until released; a `time` like 24h")
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	if err := q.asked(privacy.VerbQuarantine, c.args); err != nil {
		return c.misused(stderr, "%v", err)
	}
	err := withStore(q.path, func(s *state.Store) error {
		made, err := s.Quarantine(ctx, state.Quarantine{
			Who: q.cmd.Whom.Who, Name: q.cmd.Whom.Name, Reason: q.cmd.Because, By: operator(), For: q.cmd.For,
		})
		if err == nil {
			err = printQuarantines(stdout, made)
		}
		return err
	})
	if err != nil {
		return c.failed(stderr, err)
	}
	return 0
}

func runQuarantineRelease(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("quarantine release", "NAME", "Ends all quarantines of a user, a login or an address. A network is named as it\nwas when it was kept out.",
		"pgveil quarantine release alice --because 'a mistake'")
	q := &containing{}
	q.flags(c)
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	if err := q.asked(privacy.VerbRelease, c.args); err != nil {
		return c.misused(stderr, "%v", err)
	}
	err := withStore(q.path, func(s *state.Store) error {
		n, err := s.Release(ctx, q.cmd.Whom.Who, q.cmd.Whom.Name, operator(), q.cmd.Because)
		if err == nil && n == 0 {
			err = fmt.Errorf("%s %s is not in quarantine", q.cmd.Whom.Who, q.cmd.Whom.Name)
		}
		return err
	})
	if err != nil {
		return c.failed(stderr, err)
	}
	return 0
}

func runQuarantineList(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("quarantine list", "", "Lists who is kept out, and who was in the last 90 days.", "pgveil quarantine list")
	var path string
	c.flags.StringVar(&path, "config", "pgveil.yaml", "the `file` that serve is started with")
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	if len(c.args) > 0 {
		return c.misused(stderr, "unexpected argument %q", c.args[0])
	}
	err := withStore(path, func(s *state.Store) error {
		all, err := s.Quarantines(ctx)
		if err == nil {
			err = printQuarantines(stdout, all)
		}
		return err
	})
	if err != nil {
		return c.failed(stderr, err)
	}
	return 0
}

// withStore calls f with the tables of the governed database.
func withStore(path string, f func(*state.Store) error) error {
	cfg, err := config.Load(path)
	if err != nil {
		return err
	}
	own, err := newDialer(cfg)
	if err != nil {
		return err
	}
	conn := newConnection(own.openBrief)
	return errors.Join(f(&state.Store{Use: conn.use}), conn.close())
}

func printQuarantines(w io.Writer, all []state.Quarantine) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NUMBER\tWHO\tNAME\tBY\tSINCE\tLEFT\tSTATE\tREASON")
	for _, q := range all {
		is, left := q.State, "-"
		switch {
		case is == "released":
			is += " by " + q.Released
		case is == "in force" && q.For > 0:
			left = q.Left.Round(time.Second).String()
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", q.ID, q.Who, printable(q.Name), printable(q.By), q.Made.UTC().Format(time.DateTime), left, printable(is), printable(q.Reason))
	}
	return t.Flush()
}
