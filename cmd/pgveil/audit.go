package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pgveil/pgveil/audit"
)

const auditUsage = `Usage: pgveil audit <verb> [flags]

Reads and checks the access log. Most verbs need only the files; all may run beside
the proxy that writes them.

  tail         show the last entries, and with --follow those to come
  query        show every entry that the flags choose
  verify       check that no record was changed, removed, added or moved
  head         print the log's length and hash, to keep somewhere else
  who-saw      list who saw a data subject, or may have; needs the database, or a token
  ship         send records to a sink by hand; needs the configuration
  unused       say what the policy allows that nobody used; needs the policy, too
  breach       report what somebody got, and whom to tell by when
  review       report who may see what, and who used it; signed off and kept
  ropa         report the record of processing (GDPR, Article 30), held to the log
  key          make the key that signs checkpoints, or print its public half
  prove        write a file that proves one record by itself
  check-proof  check such a file, without the log
  consistency  check that one checkpoint's log began as another's
  open         show the text and parameters of a statement, where they are sealed
  retire       remove what was kept for as long as the configuration says

Examples:
  pgveil audit tail --follow
  pgveil audit query --user alice --since 7d --column 'crm.customers.*'
  pgveil audit query --decision refuse --since 2026-11-01 --json
  pgveil audit query --id 7QX4M2KD            the record that an error message names
  pgveil audit head >> /mnt/elsewhere/heads
  pgveil audit verify --key audit.key.pub --checkpoint /mnt/elsewhere/checkpoints
  pgveil audit verify --head 1204:9f86d081…   also finds an end that was cut off
  pgveil audit prove 1042 --out record-1042.proof
  pgveil audit who-saw customer 42 --config /etc/pgveil/pgveil.yaml --since 90d
  pgveil audit unused --config /etc/pgveil/pgveil.yaml --since 90d
  pgveil audit breach --user alice --from 7d --out breach.html

"pgveil audit <verb> --help" lists the flags of a verb.
`

// auditHelp is what each verb says of itself above its flags.
var auditHelp = map[string]string{
	"tail": `Shows the last entries, oldest first. A statement stands with its outcome.

  pgveil audit tail -n 50
  pgveil audit tail --follow --decision refuse     watch refusals as they happen`,

	"query": `Shows every entry that all of the given flags choose, oldest first. A statement
stands with its outcome.

  pgveil audit query --user alice --since 7d
  pgveil audit query --class national_id --since 2026-11-01 --until 2026-12-01
  pgveil audit query --column 'crm.customers.*' --json | jq -r .user | sort | uniq -c`,

	"verify": `Checks the whole log, and the chain beside it that processes wrote while another
one ended, where there is one. Exit status 0 means that every record is as it
was written; 1, that one is not, and which.

With --key, the records are held to the signed checkpoints, too: whoever can
write the files and computes all hashes anew is found then, and the range of
records between two checkpoints in which. With --checkpoint, a file of
checkpoints that was kept elsewhere, an end that was cut off is found as well.
Keys that a key handed over to are followed.

With --table, the rows of pgveil.access_log and pgveil.access_subjects are held to
the log: which differ, are missing, or are too many.

  pgveil audit verify
  pgveil audit verify --table --config /etc/pgveil/pgveil.yaml
  pgveil audit verify --key audit.key.pub --checkpoint /mnt/elsewhere/checkpoints
  pgveil audit verify --head "$(tail -1 /mnt/elsewhere/heads)"`,

	"head": `Prints count:hash. Kept where whoever writes the log cannot change it, it lets
verify find a log that was cut short or written anew.

  pgveil audit head >> /mnt/elsewhere/heads`,
}

const defaultAuditDir = "/var/lib/pgveil/audit"

// auditCommand is one call of "pgveil audit".
type auditCommand struct {
	verb   string
	flags  *flag.FlagSet
	dir    string
	json   bool
	follow bool
	filter audit.Filter
	heads  []audit.Head
	keys   []audit.PublicKey
	kept   []audit.Checkpoint
	table  bool
	config string
	stdout io.Writer
	stderr io.Writer
	now    time.Time
}

// ownVerbs are those with flags and files of their own.
var ownVerbs = map[string]func(ctx context.Context, args []string, stdout, stderr io.Writer) int{
	"breach":  runAuditBreach,
	"open":    runAuditOpen,
	"retire":  runAuditRetire,
	"review":  runAuditReview,
	"ropa":    runAuditROPA,
	"ship":    runAuditShip,
	"unused":  runAuditUnused,
	"who-saw": runAuditWhoSaw,
}

// runAudit runs "pgveil audit" and gives the exit status: 0, 1 when what was
// asked failed or the log is not good, 2 when the call makes no sense.
func runAudit(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, auditUsage)
		return 2
	}
	verb := args[0]
	if verb == "help" || verb == "-h" || verb == "-help" || verb == "--help" {
		fmt.Fprint(stdout, auditUsage)
		return 0
	}
	if run := ownVerbs[verb]; run != nil {
		return run(ctx, args[1:], stdout, stderr)
	}
	if _, ok := signedVerbs[verb]; ok {
		return runAuditSigned(verb, args[1:], stdout, stderr)
	}
	if _, ok := auditHelp[verb]; !ok {
		fmt.Fprintf(stderr, "pgveil audit: unknown verb %q; \"pgveil audit --help\" lists those that there are\n", verb)
		return 2
	}
	c := newAuditCommand(verb, stdout)
	c.stderr = stderr
	switch err := c.parse(args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		c.help()
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "pgveil audit %s: %v\n", verb, err)
		return 2
	}
	if beside := c.beside(); beside != "" && verb != "verify" {
		fmt.Fprintf(stderr, "note: %s holds records of processes that ran beside others; --dir shows them\n", beside)
	}
	if err := c.run(ctx); err != nil {
		fmt.Fprintf(stderr, "pgveil audit %s: %v\n", verb, err)
		return 1
	}
	return 0
}

func newAuditCommand(verb string, stdout io.Writer) *auditCommand {
	c := &auditCommand{verb: verb, flags: flag.NewFlagSet(verb, flag.ContinueOnError), stdout: stdout, now: time.Now()}
	c.flags.SetOutput(io.Discard)
	c.flags.StringVar(&c.dir, "dir", defaultAuditDir, "`directory` of the log")
	switch verb {
	case "verify":
		c.flags.Func("head", "a head that was remembered, `count:hash`; may be given again", func(s string) error {
			h, err := audit.ParseHead(s)
			c.heads = append(c.heads, h)
			return err
		})
		c.flags.Func("key", "a public `key` of those that sign checkpoints, or a file with it; may be given again", func(s string) error {
			k, err := publicKey(s)
			c.keys = append(c.keys, k)
			return err
		})
		c.flags.Func("checkpoint", "a `file` of checkpoints that was kept, lines of a syslog collector, or postgres://… of an anchor; may be given again; takes --key", func(s string) error {
			list, err := readCheckpoints(s)
			c.kept = append(c.kept, list...)
			return err
		})
		c.flags.BoolVar(&c.table, "table", false, "hold the access log's table against the log as well; takes --config")
		c.flags.StringVar(&c.config, "config", "", "of --table: the `file` that serve is started with, which also says where the log is")
	case "tail":
		c.filter.Limit = 20
		c.flags.BoolVar(&c.follow, "follow", false, "go on with the entries to come, until interrupted")
		c.flags.BoolVar(&c.follow, "f", false, "the same as --follow")
		c.entryFlags()
	case "query":
		c.entryFlags()
	}
	return c
}

// entryFlags are those of the verbs that show entries.
func (c *auditCommand) entryFlags() {
	f := &c.filter
	c.flags.BoolVar(&c.json, "json", false, "print a JSON object a line, with everything recorded, but what is sealed of rows")
	c.flags.Func("n", "`count` of entries at most", func(s string) error {
		n, err := strconv.Atoi(s)
		if err != nil || n <= 0 {
			return errors.New("it takes a number above zero")
		}
		f.Limit = n
		return nil
	})
	c.timeFlag("since", "at or after this `time`: 2026-11-22T15:04:05Z, 2026-11-22, or 90m, 24h, 7d ago", &f.Since)
	c.timeFlag("until", "before this `time`", &f.Until)
	c.oneOf("kind", "`kind` of record", (*string)(&f.Kind), "statement", "session", "privacy", "system")
	c.oneOf("decision", "`decision` on the statement", &f.Decision, "allow", "mask", "refuse", "unrestricted", "observe")
	c.flags.Func("command", "`command` of the statement: SELECT, UPDATE, …", func(s string) error {
		f.Command = strings.ToUpper(s)
		return nil
	})
	for _, text := range []struct {
		name, usage string
		to          *string
	}{
		{"user", "end `user`, or login where there is none behind it", &f.User},
		{"login", "`name` that logged in to the database", &f.Login},
		{"role", "a `role` the user had", &f.Role},
		{"purpose", "`purpose` the data was asked for", &f.Purpose},
		{"ticket", "`ticket` that was given", &f.Ticket},
		{"database", "`name` of the database", &f.Database},
		{"session", "`id` of the session", &f.Session},
		{"id", "`id` that a refusal's error message shows", &f.ID},
		{"class", "`class` of a column used", &f.Class},
		{"column", "a column used, `schema.table.column`; * stands for any text", &f.Column},
		{"subject", "`token` of a person whose data was shown", &f.Subject},
	} {
		c.flags.StringVar(text.to, text.name, "", text.usage)
	}
}

func (c *auditCommand) oneOf(name, usage string, to *string, allowed ...string) {
	list := strings.Join(allowed, ", ")
	c.flags.Func(name, usage+": "+list, func(s string) error {
		if !slices.Contains(allowed, s) {
			return fmt.Errorf("it takes one of %s", list)
		}
		*to = s
		return nil
	})
}

func (c *auditCommand) timeFlag(name, usage string, to *time.Time) {
	c.flags.Func(name, usage, func(s string) (err error) {
		*to, err = parseAuditTime(s, c.now)
		return err
	})
}

// parseAuditTime reads a time as people give it. Times without a zone are UTC,
// as all that is shown.
func parseAuditTime(s string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return now.AddDate(0, 0, -int(n)), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, errors.New("it takes a time, like 2026-11-22T15:04:05Z or 2026-11-22, or how long ago, like 90m, 24h or 7d")
}

// parse reads the flags and says, of one that does not exist, which do.
func (c *auditCommand) parse(args []string) error {
	err := c.flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return err
	case err != nil && strings.Contains(err.Error(), "not defined"):
		var names []string
		c.flags.VisitAll(func(f *flag.Flag) { names = append(names, auditDashes(f.Name)) })
		return fmt.Errorf("%w; there are %s", err, strings.Join(names, ", "))
	case err != nil:
		return err
	case c.flags.NArg() > 0:
		return fmt.Errorf("%q is not a flag; try --help", c.flags.Arg(0))
	}
	if c.table == (c.config == "") {
		return errors.New("--table and --config go together")
	}
	return c.filter.Check()
}

func auditDashes(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

func (c *auditCommand) help() {
	fmt.Fprintf(c.stdout, "Usage: pgveil audit %s [flags]\n\n%s\n\nFlags:\n", c.verb, auditHelp[c.verb])
	c.flags.VisitAll(func(f *flag.Flag) {
		argument, usage := flag.UnquoteUsage(f)
		if f.DefValue != "" && f.DefValue != "false" {
			usage += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(c.stdout, "  %-30s %s\n", auditDashes(f.Name)+" "+argument, usage)
	})
}

func (c *auditCommand) run(ctx context.Context) error {
	switch c.verb {
	case "tail":
		return c.tail(ctx)
	case "query":
		return c.query(ctx)
	case "verify":
		return c.verify(ctx)
	case "head":
		head, err := audit.ReadHead(c.dir)
		if err == nil {
			_, err = fmt.Fprintln(c.stdout, head)
		}
		return err
	default:
		return fmt.Errorf("internal error: verb %q", c.verb)
	}
}

func (c *auditCommand) query(ctx context.Context) error {
	p := c.printer()
	for e, err := range audit.Query(audit.Read(c.dir, 0), c.filter) {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = p.print(e)
		}
		if err != nil {
			return errors.Join(p.flush(), err)
		}
	}
	return p.flush()
}

func (c *auditCommand) tail(ctx context.Context) error {
	entries, next, err := audit.Last(c.dir, c.filter, c.filter.Limit)
	if err != nil {
		return err
	}
	p := c.printer()
	for _, e := range entries {
		if err := p.print(e); err != nil {
			return err
		}
	}
	if err := p.flush(); err != nil || !c.follow {
		return err
	}
	return c.followFrom(ctx, next, p, entries)
}

// auditPrinter shows entries. What it was given is sure to be out after flush.
type auditPrinter interface {
	print(audit.Entry) error
	flush() error
}

func (c *auditCommand) printer() auditPrinter {
	if c.json {
		e := json.NewEncoder(c.stdout)
		e.SetEscapeHTML(false)
		return auditLines{e}
	}
	return &auditTable{w: c.stdout}
}

// auditLines prints JSON.
type auditLines struct{ *json.Encoder }

func (l auditLines) print(e audit.Entry) error { return l.Encode(e) }
func (l auditLines) flush() error              { return nil }
