package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/config"
)

const alertHelp = `Usage: pgveil alert <verb> [flags]

Alerts are what somebody should look at.

  test   send one through every sink of the configuration
  list   print which there are, and what they mean

"pgveil alert <verb> --help" shows a verb's flags and examples.
`

// runAlert runs "pgveil alert".
func runAlert(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, alertHelp)
		return 2
	}
	switch args[0] {
	case "test":
		return runAlertTest(ctx, args[1:], stdout, stderr)
	case "list":
		return runAlertList(ctx, args[1:], stdout, stderr)
	case "help", "-h", "-help", "--help":
		fmt.Fprint(stdout, alertHelp)
		return 0
	}
	fmt.Fprintf(stderr, "pgveil alert: unknown verb %q\n%s", args[0], alertHelp)
	return 2
}

func runAlertList(_ context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("alert list", "", "Prints every alert that there is: its name, how soon somebody should look, and\nwhat has happened.", "pgveil alert list")
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	for _, k := range alert.Kinds() {
		fmt.Fprintf(w, "%s\t%s\t%s\n", k.Name, k.Severity, k.Meaning)
	}
	if err := w.Flush(); err != nil {
		return c.failed(stderr, err)
	}
	return 0
}

func runAlertTest(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("alert test", "",
		"Sends an alert through every sink of the configuration that takes its severity,\nonce each, and says what became of it. Exit status 0 means that all have taken it.",
		"pgveil alert test --config /etc/pgveil/pgveil.yaml", "pgveil alert test --severity warning")
	var path, word string
	c.flags.StringVar(&path, "config", "pgveil.yaml", "the `file` that serve is started with")
	c.flags.StringVar(&word, "severity", "critical", "of the alert: notice, warning or critical (`word`)")
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	severity := alert.ParseSeverity(word)
	if severity == 0 {
		return c.misused(stderr, "severity %q is not notice, warning or critical", word)
	}
	cfg, err := config.Load(path)
	if err != nil {
		return c.failed(stderr, err)
	}
	routes, err := alertRoutes(cfg.Alerts)
	if err != nil {
		return c.failed(stderr, err)
	}
	if len(routes) == 0 {
		fmt.Fprintf(stdout, "%s has no sinks of alerts: they are in the log alone\n", path)
		return 0
	}
	return testRoutes(ctx, routes, severity, stdout)
}

// testRoutes sends a test through each route, and gives the exit status.
func testRoutes(ctx context.Context, routes []alert.Route, severity alert.Severity, stdout io.Writer) (code int) {
	e := alert.Event{
		Name: "test", Severity: severity, Message: "this is a test: nothing has happened",
		Details: []slog.Attr{slog.String("why", "pgveil alert test")},
	}
	for _, r := range routes {
		if severity < r.Least {
			fmt.Fprintf(stdout, "%s: not sent: it takes what is %s at least\n", r.Name, r.Least)
			continue
		}
		begin := time.Now()
		if err := r.Test(ctx, e, hostName()); err != nil {
			fmt.Fprintf(stdout, "%s: failed: %q\n", r.Name, err)
			code = 1
			continue
		}
		fmt.Fprintf(stdout, "%s: taken after %s\n", r.Name, time.Since(begin).Round(time.Millisecond))
	}
	return code
}
