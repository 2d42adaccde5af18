// Command pgveil is a PostgreSQL proxy that enforces a privacy policy, and the
// tools around it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
)

// verb is one of the things that pgveil does. run gives the exit status: 0, 1
// when what was asked failed, 2 when the call makes no sense.
type verb struct {
	name, about string
	run         func(ctx context.Context, args []string, stdout, stderr io.Writer) int
}

func verbs() []verb {
	return []verb{
		{"serve", "relay sessions and enforce the policy", runServe},
		{"check", "find what is wrong with a policy", runCheck},
		{"test", "run .case files: the tests of a policy", runTest},
		{"explain", "say what becomes of a statement, and why", runExplain},
		{"audit", "read and check the access log", runAudit},
		{"user", "make what logins need: verifiers of passwords, second factors", runUser},
		{"alert", "try out where alerts go, and list which there are", runAlert},
		{"quarantine", "keep users, logins and addresses out", runQuarantine},
		{"dsar", "answer data subjects", runDsar},
		{"worker", "work on requests of data subjects beside serve", runWorker},
		{"schema", "make the tables in which pgveil remembers", runSchema},
		{"doors", "list connections that go around pgveil", runDoors},
		{"harden", "find ways around pgveil in the server, and close them", runHarden},
		{"retention", "remove rows whose time is over", runRetention},
		{"scan", "find personal data in a database, and compare a policy with it", runScan},
		{"honey", "plant records that nobody has a reason to touch", runHoney},
		{"preset", "begin a policy for a CRM application that is known", runPreset},
		{"inventory", "list every column: what it is, whose, and who sees it", runInventory},
		{"keys", "make and change the keys of sealed columns", runKeys},
		{"seal", "seal what is in the database already, and again under another key", runSeal},
		{"keygen", "make the secret that keyed masks need", runKeygen},
		{"token", "make and check signed tokens of end users", runToken},
		{"health", "ask a running pgveil how it is", runHealth},
		{"version", "print the version", runVersion},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage())
		return 2
	}
	name, rest := args[0], args[1:]
	switch name {
	case "help", "-h", "-help", "--help":
		if len(rest) > 0 && name == "help" {
			return run(ctx, []string{rest[0], "--help"}, stdout, stderr)
		}
		fmt.Fprint(stdout, usage())
		return 0
	case "-version", "--version":
		name = "version"
	}
	for _, v := range verbs() {
		if v.name == name {
			return v.run(ctx, rest, stdout, stderr)
		}
	}
	fmt.Fprintf(stderr, "pgveil: unknown verb %q%s\n", name, nearestVerb(name))
	return 2
}

func usage() string {
	var b strings.Builder
	b.WriteString("Usage: pgveil <verb> [flags]\n\npgveil is a PostgreSQL proxy that enforces a privacy policy.\n\n")
	for _, v := range verbs() {
		fmt.Fprintf(&b, "  %-10s %s\n", v.name, v.about)
	}
	b.WriteString("\n\"pgveil help <verb>\" shows a verb's flags and examples.\n")
	return b.String()
}

// nearestVerb suggests the verb that shares the longest beginning, or whose
// letters are the same, with what was typed.
func nearestVerb(typed string) string {
	best, most := "", 0
	for _, v := range verbs() {
		if n := likeness(typed, v.name); n > most {
			best, most = v.name, n
		}
	}
	if best == "" {
		return "; try pgveil help"
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// likeness counts the pairs of letters that both words hold; two at least, or
// they are not alike.
func likeness(a, b string) int {
	n := 0
	for i := 0; i+2 <= len(b); i++ {
		if strings.Contains(strings.ToLower(a), b[i:i+2]) {
			n++
		}
	}
	if n < 2 {
		return 0
	}
	return n
}

func runVersion(_ context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("version", "", "Prints the version.", "pgveil version")
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				version += " " + s.Value
			}
		}
	}
	fmt.Fprintln(stdout, "pgveil", version)
	return 0
}

// command is one call of a verb: its flags and what it says of itself.
type command struct {
	flags                  *flag.FlagSet
	name, arguments, about string
	examples               []string
	args                   []string // what is not a flag
}

func newCommand(name, arguments, about string, examples ...string) *command {
	c := &command{flags: flag.NewFlagSet(name, flag.ContinueOnError), name: name, arguments: arguments, about: about, examples: examples}
	c.flags.SetOutput(io.Discard)
	return c
}

// parse reads the flags, which may stand before and after the other arguments,
// up to "--". It tells whether that is all there is to do.
func (c *command) parse(args []string, stdout, stderr io.Writer) (done bool, code int) {
	for {
		if err := c.flags.Parse(args); errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(stdout, c.help())
			return true, 0
		} else if err != nil {
			return true, c.misused(stderr, "%v", err)
		}
		rest := c.flags.Args()
		if len(rest) == 0 {
			break
		}
		if read := len(args) - len(rest); read > 0 && args[read-1] == "--" {
			c.args = append(c.args, rest...)
			break
		}
		c.args, args = append(c.args, rest[0]), rest[1:]
	}
	if c.arguments == "" && len(c.args) > 0 {
		return true, c.misused(stderr, "unknown argument %q", c.args[0])
	}
	return false, 0
}

// misused says what is wrong with a call, and gives its exit status.
func (c *command) misused(stderr io.Writer, format string, args ...any) int {
	fmt.Fprintf(stderr, "pgveil %s: %s\nSee pgveil help %s.\n", c.name, fmt.Sprintf(format, args...), c.name)
	return 2
}

// failed says why what was asked could not be done, and gives the exit status.
func (c *command) failed(stderr io.Writer, err error) int {
	fmt.Fprintf(stderr, "pgveil %s: %v\n", c.name, err)
	return 1
}

func (c *command) help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: pgveil %s", c.name)
	if c.arguments != "" {
		b.WriteString(" " + c.arguments)
	}
	flags := 0
	c.flags.VisitAll(func(*flag.Flag) { flags++ })
	if flags > 0 {
		b.WriteString(" [flags]")
	}
	fmt.Fprintf(&b, "\n\n%s\n", c.about)
	if flags > 0 {
		b.WriteString("\nFlags:\n")
	}
	c.flags.VisitAll(func(f *flag.Flag) {
		argument, about := flag.UnquoteUsage(f)
		if f.DefValue != "" && f.DefValue != "false" {
			about += " (default " + f.DefValue + ")"
		}
		dashes := "--"
		if len(f.Name) == 1 {
			dashes = "-"
		}
		fmt.Fprintf(&b, "  %-18s %s\n", dashes+f.Name+" "+argument, about)
	})
	b.WriteString("\nExamples:\n")
	for _, e := range c.examples {
		b.WriteString("  " + e + "\n")
	}
	return b.String()
}
